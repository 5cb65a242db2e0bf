"""A worker process: it serves one service until SIGTERM, then drains."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any

from ..api.service import Service
from ..bus import ServiceBus
from ..config import WorkerConfig
from ..errors import Unavailable
from ..foundation.event_loop import loop_factory
from ..foundation.signals import handle_ending_signals
from ..security import Keyring
from .clock_check import ClockCheck
from .loading import load_service
from .supervisor import Supervisor

JOIN_WITHIN = 0.2
"""Seconds that a thread may take to end after the drain: one whose handler is done ends at once."""
END_WITHIN = 1.0
"""Seconds that the event loop may take to close after the drain: what still runs by then ignores that it must end."""
SUPERVISOR_CHECK_INTERVAL = 1.0
"""Seconds between two looks whether the supervisor lives: an orphan should end soon, and a look is a system call."""
FIRST_RETRY_AFTER = 0.5
"""Seconds between the first two attempts to reach the server, doubled with each one: a server starts in about that."""
CLOCK_LOOK_INTERVAL = 1.0
"""Seconds between two looks at the clock of this machine: a look is one subtraction."""
LAST_RETRY_AFTER = 8.0
"""Seconds between two attempts, at most: a worker should serve soon after its server is back."""

logger = logging.getLogger(__name__)


def run(config: WorkerConfig) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return the exit code. A second signal ends the process at once.

    Raises:
        ConfigurationError: the service cannot be loaded, or a setting of the bus is wrong.
        Unavailable: the server refuses this worker, and waiting does not help. A server that is away is waited for.
    """
    if config.processes > 1:
        return Supervisor(config).run()
    service = load_service(config.target)
    # Closing the event loop waits for tasks that ignore their cancellation, and for its threads, without a bound.
    cut_off = threading.Timer(END_WITHIN, _cut_off)
    cut_off.daemon = True
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        _run_to_its_end(runner.get_loop(), _serve(service, config))
        cut_off.start()
    _end_without_threads()
    cut_off.cancel()
    return 0


def _run_to_its_end(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
    """Run the worker, also when a task that a handler has made calls ``sys.exit()``, which stops the event loop."""
    task = loop.create_task(work)
    while not task.done():
        try:
            loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt):
            if not task.done():
                logger.exception("a task tried to end the process; the worker goes on")
    task.result()


def _cut_off() -> None:
    running = [thread.name for thread in threading.enumerate() if not thread.daemon]
    logger.error("something outlasts the drain and ignores that it must end: it is cut off (threads: %s)", running)
    logging.shutdown()
    os._exit(0)


def _end_without_threads() -> None:
    """End the process when a plain handler outlasted the drain.

    Python cannot stop the thread of that handler, and the interpreter would wait for it.
    """
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(JOIN_WITHIN)
            if thread.is_alive():
                logger.error("%s still runs: it is cut off", thread.name)
                logging.shutdown()
                os._exit(0)


async def _serve(service: Service, config: WorkerConfig) -> None:
    stop = asyncio.Event()
    handle_ending_signals(asyncio.get_running_loop(), partial(_stop_or_exit, stop))
    bus, stopped = _bus(service, config), asyncio.create_task(_until_stopped(stop, config.supervisor))
    try:
        if await _wait_until_open(bus, stopped):
            async with bus.serving(service, concurrency=config.concurrency, drain=config.drain):
                logger.info("serving %s (%d operations)", service.request_channel, len(service.operations))
                await _checking_clock(bus, stopped)
                logger.info("draining %s", service.request_channel)
    finally:
        stopped.cancel()
        await bus.close()
    logger.info("stopped %s", service.request_channel)


async def _checking_clock(bus: ServiceBus, stopped: asyncio.Task[None]) -> None:
    """Wait until the worker is stopped, and meanwhile report a wall clock that is wrong."""
    check = ClockCheck()
    while not stopped.done():
        await asyncio.wait({stopped}, timeout=CLOCK_LOOK_INTERVAL)
        if (report := check.look(time.time() * 1000, bus.now_ms())) is not None:
            logger.warning(report)
    await stopped


async def _wait_until_open(bus: ServiceBus, stopped: asyncio.Task[None]) -> bool:
    """Open the bus, however long its server is away. False: the worker was stopped meanwhile."""
    delay, began = FIRST_RETRY_AFTER, time.monotonic()
    while not stopped.done():
        opening = asyncio.create_task(bus.open())
        await asyncio.wait({opening, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            break
        error = opening.exception()
        if error is None:
            if delay > FIRST_RETRY_AFTER:
                logger.info("connected after %.1f s", time.monotonic() - began)
            return True
        if not isinstance(error, Unavailable) or not error.retryable:
            raise error
        logger.error("%s: the worker waits for it, and tries again in %.1f s", error, delay)
        await asyncio.wait({stopped}, timeout=delay)
        delay = min(2 * delay, LAST_RETRY_AFTER)
    return False


def _bus(service: Service, config: WorkerConfig) -> ServiceBus:
    return ServiceBus(
        config.url,
        service=service.name,
        prefix=config.prefix,
        max_message_size=config.max_message_size,
        signing=Keyring.from_file(config.keys) if config.keys else None,
    )


async def _until_stopped(stop: asyncio.Event, supervisor: int) -> None:
    """Wait until ``stop`` is set, or until the supervisor has died, which a killed supervisor cannot announce."""
    while not stop.is_set() and supervisor in (0, os.getppid()):
        # Not wait_for(): on Python 3.11 it swallows a cancellation that comes with its result.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SUPERVISOR_CHECK_INTERVAL):
                await stop.wait()


def _stop_or_exit(stop: asyncio.Event, number: int) -> None:
    if stop.is_set():
        os._exit(128 + number)
    stop.set()
