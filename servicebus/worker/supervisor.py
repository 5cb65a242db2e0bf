"""The supervisor: it runs several worker processes and replaces those that die."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from ..config import WorkerConfig, environment_with

RESTART_AFTER = 0.5
"""Seconds between the death of a worker and the start of the next: a broken worker must not use up the machine."""
RESTARTS_TO_GIVE_UP = 5
"""Workers that may die early in a row: so many do not die by chance, and the platform should see the failure."""
LIVED_LONG_ENOUGH = 30.0
"""Seconds after which a death does not count as early: the worker had started and served."""
CHECK_INTERVAL = 0.05
"""Seconds between two looks at the children: short beside ``RESTART_AFTER``, and 20 system calls a second."""

logger = logging.getLogger(__name__)


class Supervisor:
    """Runs ``config.processes`` workers as children, replaces those that die, and passes signals on."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._children: list[subprocess.Popen[bytes]] = []
        """The workers that have not been seen to end."""
        self._started: dict[int, float] = {}
        """When each child was started, by process ID, in seconds of the monotonic clock."""
        self._early_deaths = 0
        """Workers that have died early since the last one that lived long enough."""
        self._signal = 0
        """The number of the signal that asked this process to end, 0 before there was one."""
        self._given_up = False
        """Whether too many workers died early, so that the rest are being ended."""

    def run(self) -> int:
        """Run until all children have ended. Return 0 when a signal ended them, 1 when they kept dying early."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._forward)
        for _ in range(self._config.processes):
            self._spawn()
        while self._children:
            time.sleep(CHECK_INTERVAL)
            for child in [child for child in self._children if child.poll() is not None]:
                self._children.remove(child)
                if not self._signal and not self._given_up:
                    self._replace(child)
        return 1 if self._given_up else 0

    def _spawn(self) -> None:
        if self._is_stopping():
            return
        command = [sys.executable, "-m", "servicebus", *worker_arguments(self._config)]
        # The URL may hold a password, and every user of the machine can read command lines: so the environment has it.
        # A process group of its own keeps Ctrl-C from the child: the supervisor gets the signal and passes it on, once.
        child = subprocess.Popen(command, env=environment_with(self._config.url), process_group=0)
        self._started[child.pid] = time.monotonic()
        self._children.append(child)
        if self._is_stopping():  # the signal came during Popen, and was passed on to the other children only
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

    def _is_stopping(self) -> bool:
        """Whether a signal has come. A method, so that type checkers know that the answer changes between two lines."""
        return self._signal != 0

    def _forward(self, number: int, frame: Any) -> None:
        self._signal = number
        self._end_children()

    def _end_children(self) -> None:
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)


def worker_arguments(config: WorkerConfig) -> Sequence[str]:
    """Return the command line of one child of this process, without the URL."""
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
