"""Worker processes of ``worker_site`` that may be killed, stopped and followed by others."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from ...system.faults.conftest import Record
from ..processes import Worker
from ..timing import eventually
from .worker_site import CHANNEL, HISTORY

START_WITHIN = 30.0


class Fleet:
    """``options`` are those of each worker's command line; ``service`` names a service of ``worker_site``."""

    def __init__(self, directory: Path, url: str, *options: str, service: str = "service") -> None:
        self._directory, self._arguments = (
            directory,
            (f"tests.support.faults.worker_site:{service}", "--url", url, *options),
        )
        self._numbers = count()
        self.workers: list[Worker] = []

    def start(self, number: int = 1) -> None:
        """Start workers, which will serve soon."""
        for _ in range(number):
            log = self._directory / f"worker-{next(self._numbers)}.log"
            self.workers.append(Worker(log, *self._arguments))

    async def serving(self, number: int) -> None:
        """Wait until so many workers serve."""
        await eventually(lambda: len(self.ready()) >= number, within=START_WITHIN)

    def ready(self) -> list[Worker]:
        return [worker for worker in self.workers if f"serving {CHANNEL}" in worker.log]

    def kill(self) -> bool:
        """Kill one of those that serve, if there is one: nobody is told, and nothing is finished."""
        ready = self.ready()
        if ready:
            self._end(random.choice(ready))
        return bool(ready)

    def end(self) -> None:
        for worker in list(self.workers):
            self._end(worker)

    def _end(self, worker: Worker) -> None:
        self.workers.remove(worker)
        worker.signal(signal.SIGKILL)
        worker.ended()


@contextmanager
def fleet(directory: Path, url: str, record: Record, *options: str, service: str = "service") -> Iterator[Fleet]:
    """A fleet without workers yet. They write into the record; their processes are ended at the end."""
    os.environ[HISTORY] = str(record.path)
    started = Fleet(directory, url, *options, service=service)
    try:
        yield started
    finally:
        started.end()
        del os.environ[HISTORY]
