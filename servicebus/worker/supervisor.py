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
from .restarts import Restarts

CHECK_INTERVAL = 0.05
"""Seconds between two looks at the children: short beside the delay before a restart, and 20 system calls a second."""

logger = logging.getLogger(__name__)


class Supervisor:
    """Runs ``config.processes`` workers as children, replaces those that die, and passes signals on.

    A worker that dies again and again is started less and less often. It never ends the others.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        # The workers that have not been seen to end, by the numbers of their places.
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._restarts = Restarts(config.processes, time.monotonic())
        # The number of the signal that asked this process to end, 0 before there was one.
        self._signal = 0

    def run(self) -> int:
        """Run until all children have ended. Return 0 when a signal ended them, 1 when none could be configured."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._forward)
        while not self._restarts.is_hopeless:
            for place in self._restarts.due(time.monotonic()):
                self._spawn(place)
            time.sleep(CHECK_INTERVAL)
            for place in [place for place, child in self._children.items() if child.poll() is not None]:
                self._ended(place, self._children.pop(place))
            if self._is_stopping() and not self._children:
                return 0
        logger.error("giving up: no worker can be started with this configuration")
        return 1

    def _spawn(self, place: int) -> None:
        if self._is_stopping():
            return
        command = [sys.executable, "-m", "servicebus", *worker_arguments(self._config)]
        # The URL may hold a password, and every user of the machine can read command lines: so the environment has it.
        # A process group of its own keeps Ctrl-C from the child: the supervisor gets the signal and passes it on, once.
        child = subprocess.Popen(command, env=environment_with(self._config.url), process_group=0)
        self._restarts.started(place, time.monotonic())
        self._children[place] = child
        if self._is_stopping():  # the signal came during Popen, and was passed on to the other children only
            child.send_signal(signal.SIGTERM)

    def _ended(self, place: int, child: subprocess.Popen[bytes]) -> None:
        delay = self._restarts.ended(place, child.returncode, time.monotonic())
        if not self._is_stopping():
            logger.error("worker %d ended with %s: the next starts in %.1f s", child.pid, child.returncode, delay)

    def _is_stopping(self) -> bool:
        """Whether a signal has come. A method, so that type checkers know that the answer changes between two lines."""
        return self._signal != 0

    def _forward(self, number: int, frame: Any) -> None:
        self._signal = number
        for child in list(self._children.values()):
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
