"""A worker: a process that serves one service until SIGTERM, then drains; and the supervisor of several of them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..api.service import Service
from ..bus import ServiceBus
from ..config import WorkerConfig, django_settings_named, environment_with
from ..errors import ConfigurationError
from ..foundation.event_loop import loop_factory
from ..security.signing import Keyring

RESTART_AFTER = 0.5
RESTARTS_TO_GIVE_UP = 5
LIVED_LONG_ENOUGH = 30.0
THREAD_PATIENCE = 0.2

logger = logging.getLogger(__name__)


def load_service(target: str) -> Service:
    """The Service at ``MODULE`` or ``MODULE:ATTR``. Sets Django up first when DJANGO_SETTINGS_MODULE is set.

    Raises ConfigurationError when there is no such module, attribute or service, or it cannot be imported.
    """
    module_name, _, attribute = target.partition(":")
    module = _imported(module_name)
    if attribute:
        found = getattr(module, attribute, None)
        if not isinstance(found, Service):
            raise ConfigurationError(f"{target} is no Service")
        return found
    services = [value for value in vars(module).values() if isinstance(value, Service)]
    if len(services) != 1:
        raise ConfigurationError(f"{module_name} holds {len(services)} services: name one as {module_name}:ATTR")
    return services[0]


def _imported(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        if django_settings_named():
            import django

            django.setup()
        return importlib.import_module(name)
    except Exception as error:  # whatever a module does when it is imported
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(f"no module {error.name!r} (looked in {here} too)") from error
        raise ConfigurationError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error


def run(config: WorkerConfig) -> int:
    """Run until SIGTERM or SIGINT; the exit code. A second signal ends it at once."""
    if config.processes > 1:
        return Supervisor(config).run()
    service = load_service(config.target)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(service, config))
    _leave_threads()
    return 0


def _leave_threads() -> None:
    """End now when a plain handler outlasted the drain: it cannot be stopped, and the interpreter would wait for it."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(THREAD_PATIENCE)
            if thread.is_alive():
                logger.error("%s still runs: it is cut off", thread.name)
                logging.shutdown()
                os._exit(0)


async def _serve(service: Service, config: WorkerConfig) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop_or_die, stop, number)
    async with (
        _bus(service, config) as bus,
        bus.serving(service, concurrency=config.concurrency, drain=config.drain),
    ):
        logger.info("serving %s (%d operations)", service.request_channel, len(service.operations))
        await _until(stop, config.supervisor)
        logger.info("draining %s", service.request_channel)
    logger.info("stopped %s", service.request_channel)


def _bus(service: Service, config: WorkerConfig) -> ServiceBus:
    return ServiceBus(
        config.url,
        service=service.name,
        prefix=config.prefix,
        max_message_size=config.max_message_size,
        signing=Keyring.from_file(config.keys) if config.keys else None,
    )


async def _until(stop: asyncio.Event, supervisor: int) -> None:
    """Until told to stop, or the supervisor is gone without having been able to tell."""
    while not stop.is_set() and supervisor in (0, os.getppid()):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0)


def _stop_or_die(stop: asyncio.Event, number: int) -> None:
    if stop.is_set():
        os._exit(128 + number)
    stop.set()


class Supervisor:
    """Runs ``config.processes`` workers as children, replaces those that die, and passes signals on."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._children: list[subprocess.Popen[bytes]] = []
        self._started: dict[int, float] = {}
        self._early_deaths = 0
        self._signal = 0
        self._given_up = False

    def run(self) -> int:
        """Until a signal has ended all children (0), or they keep dying at once (1)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._forward)
        for _ in range(self._config.processes):
            self._spawn()
        while self._children:
            time.sleep(0.05)
            for child in [child for child in self._children if child.poll() is not None]:
                self._children.remove(child)
                if not self._signal and not self._given_up:
                    self._replace(child)
        return 1 if self._given_up else 0

    def _spawn(self) -> None:
        if self._told_to_end():
            return
        # A session of its own: Ctrl-C reaches the supervisor only, which passes it on once.
        command = [sys.executable, "-m", "servicebus", *worker_arguments(self._config)]
        # The URL goes by the environment: a command line, with the password in it, is there for everybody to see.
        child = subprocess.Popen(command, env=environment_with(self._config.url), process_group=0)
        self._started[child.pid] = time.monotonic()
        self._children.append(child)
        if self._told_to_end():  # it came while the child was being made, and went to the others only
            child.send_signal(signal.SIGTERM)

    def _replace(self, child: subprocess.Popen[bytes]) -> None:
        lived = time.monotonic() - self._started.pop(child.pid)
        self._early_deaths = 0 if lived > LIVED_LONG_ENOUGH else self._early_deaths + 1
        logger.error("worker %d ended with %s after %.1f s", child.pid, child.returncode, lived)
        if self._early_deaths >= RESTARTS_TO_GIVE_UP:
            logger.error("giving up: %d workers in a row died early", self._early_deaths)
            self._given_up = True
            self._end_children()
            return
        time.sleep(RESTART_AFTER)
        self._spawn()

    def _told_to_end(self) -> bool:
        """A signal may have come at any instant."""
        return self._signal != 0

    def _forward(self, number: int, frame: Any) -> None:
        self._signal = number
        self._end_children()

    def _end_children(self) -> None:
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)


def worker_arguments(config: WorkerConfig) -> Sequence[str]:
    """The command line of one child of this process, a supervisor, without the URL."""
    return [
        "worker",
        config.target,
        *("--concurrency", str(config.concurrency)),
        *("--drain", str(config.drain)),
        *("--prefix", config.prefix),
        *("--max-message-size", str(config.max_message_size)),
        *("--supervisor", str(os.getpid())),
        *(("--keys", config.keys) if config.keys else ()),
    ]
