"""Calls that leave a history, and what became of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

from servicebus import ServiceBus, ServiceBusError

from .record import Record
from .worker_site import CHANNEL

Pace = Callable[[], float]


class Calls:
    """Calls of ``run``, numbered from 0. ``outcomes`` counts how they ended: the words of an error, or ``ok``."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._number = 0
        self.outcomes: Counter[str] = Counter()

    @property
    def made(self) -> int:
        return self._number

    async def call(self, bus: ServiceBus, timeout: float, seconds: float = 0.0, channel: str = CHANNEL) -> bool:
        """Make one call whose handler takes ``seconds``, and return whether it was answered.

        Cancelling is safe: the history records the outcome.
        """
        id, self._number = self._record.id(self._number), self._number + 1
        try:
            with self._record.recorder.calling(id, timeout=timeout, channel=channel):
                assert await bus.call(channel, {"type": "run", "id": id, "seconds": seconds}, timeout=timeout) == id
        except ServiceBusError as error:
            self.outcomes[f"{type(error).__name__}, {error.executed}"] += 1
            return False
        self.outcomes["ok"] += 1
        return True

    async def many(self, bus: ServiceBus, count: int, at_once: int, timeout: float, pace: Pace = float) -> None:
        """``count`` calls, so many at once. A caller that was refused waits a little before its next one."""
        numbers = iter(range(count))
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._one_by_one(bus, numbers, timeout, pace))

    async def _one_by_one(self, bus: ServiceBus, numbers: Iterator[int], timeout: float, pace: Pace) -> None:
        for _ in numbers:
            if not await self.call(bus, timeout, pace()):
                await asyncio.sleep(0.01)

    def said(self, word: str) -> int:
        """How many ended in an error that says ``word`` of whether they ran."""
        return sum(times for what, times in self.outcomes.items() if what.endswith(f", {word}"))

    def __str__(self) -> str:
        return "; ".join(f"{times:,} {what}" for what, times in self.outcomes.most_common())
