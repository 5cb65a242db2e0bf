"""Worker processes that serve ``worker_site``; a test starts, drains and kills them one by one."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from ..processes import Worker
from ..timing import Stopwatch, eventually
from .record import Record
from .worker_site import CHANNEL, HISTORY

START_WITHIN = 30.0
"""Seconds within which worker processes must serve, also on a busy machine."""


class Fleet:
    """Worker processes.

    Args:
        directory: where the logs of the workers go.
        url: of the bus.
        options: of each worker's command line.
        service: the name of a service in ``worker_site``.

    Attributes:
        workers: the processes that were started and neither killed nor drained, oldest first.
    """

    def __init__(self, directory: Path, url: str, *options: str, service: str = "service") -> None:
        self._directory = directory
        self._arguments = (f"tests.support.faults.worker_site:{service}", "--url", url, *options)
        self._numbers = count()
        self.workers: list[Worker] = []

    def start(self, number: int = 1) -> None:
        """Start workers. They need a moment until they serve."""
        for _ in range(number):
            log = self._directory / f"worker-{next(self._numbers)}.log"
            self.workers.append(Worker(log, *self._arguments))

    async def serving(self, number: int) -> None:
        """Wait until ``number`` workers serve."""
        await eventually(lambda: len(self.ready()) >= number, within=START_WITHIN)

    def ready(self) -> list[Worker]:
        """Return the workers that serve, oldest first."""
        return [worker for worker in self.workers if f"serving {CHANNEL}" in worker.log]

    def kill(self) -> bool:
        """Kill one serving worker with SIGKILL: it finishes and sends nothing. Returns whether there was one."""
        ready = self.ready()
        if ready:
            self._end(random.choice(ready))
        return bool(ready)

    def end(self) -> None:
        """Kill all workers."""
        for worker in list(self.workers):
            self._end(worker)

    def _end(self, worker: Worker) -> None:
        self.workers.remove(worker)
        worker.signal(signal.SIGKILL)
        worker.ended()


async def drained(workers: Fleet) -> float:
    """Send the oldest serving worker SIGTERM and wait until it has ended. Returns the seconds that it took."""
    oldest = workers.ready()[0]
    workers.workers.remove(oldest)
    with Stopwatch() as watch:
        oldest.signal(signal.SIGTERM)
        assert await asyncio.to_thread(oldest.ended) == 0
    assert "Traceback" not in oldest.log
    return watch.seconds


@contextmanager
def fleet(directory: Path, url: str, record: Record, *options: str, service: str = "service") -> Iterator[Fleet]:
    """Make a fleet without workers, whose workers write into the record. All of them are killed after the block."""
    os.environ[HISTORY] = str(record.path)
    started = Fleet(directory, url, *options, service=service)
    try:
        yield started
    finally:
        started.end()
        del os.environ[HISTORY]
