"""Deadlines: of calls that wait behind others, and of what a handler calls in turn."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from servicebus import Bus, Context, Service, ServiceBus, ServiceBusError
from servicebus.testing.servers import Server

from ...support.faults.record import Figures, Record
from ...support.shop import calling
from ...support.timing import LAG, MS, allowed

OFFERED = 4000
HOPS = ("front", "middle", "back")
TRIES = 1000


class Late:
    """A service whose handlers note how many milliseconds were left when they started."""

    def __init__(self, record: Record) -> None:
        self.service, self.left = Service("late"), list[int]()
        self._recorder = record.recorder
        self.service.handler("work")(self._work)

    async def _work(self, message: dict[str, Any], context: Context) -> None:
        self.left.append(context.deadline_ms - context.bus.now_ms())
        with self._recorder.running(message["id"]):
            await asyncio.sleep(message["seconds"])


@pytest.mark.row(11)
async def test_under_overload_nothing_starts_late_and_errors_come_on_time(
    server: Server, record: Record, figures: Figures
) -> None:
    late, errors = Late(record), list[float]()

    async def call(number: int) -> None:
        id, timeout = record.id(number), 10 ** random.uniform(-2, 0.7)
        started = time.monotonic()
        try:
            with record.recorder.calling(id, timeout=timeout):
                await bus.call("late.request", {"type": "work", "id": id, "seconds": 32 * MS}, timeout=timeout)
        except ServiceBusError:
            errors.append(time.monotonic() - started - timeout)

    async with calling(server.url, late.service, concurrency=16) as bus:
        calls, began = [], time.monotonic()
        for number in range(OFFERED):
            calls.append(asyncio.create_task(call(number)))
            # On a busy machine the loop is late: what was not offered in time follows at once.
            if time.monotonic() - began < number * 0.5 * MS:
                await asyncio.sleep(0.5 * MS)
        await asyncio.gather(*calls)
        worst_lag = LAG.worst
    p99 = sorted(errors)[int(len(errors) * 0.99)]
    assert record.problems() == []
    assert len(errors) > OFFERED // 4, "it was no overload"
    assert min(late.left) >= -1000 * allowed(1 * MS)
    figures(
        11,
        f"{OFFERED:,} calls of 10 ms to 5 s, 4 times what can be done: {len(late.left):,} started, 0 late, "
        f"{len(errors):,} errors, p99 {1000 * p99:+.1f} ms after the deadline (the loop itself "
        f"was {1000 * worst_lag:.1f} ms late)",
    )
    assert p99 <= allowed(20 * MS)


class Hops:
    """``front`` calls ``middle``, which calls ``back``; each takes a moment, and asks for a minute.

    ``expired`` and ``cancelled`` have the instants at which first callers went away, ``starts`` those at which anything
    began for them.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self.expired: dict[str, float] = {}
        self.cancelled: dict[str, float] = {}
        self.starts: list[tuple[str, float]] = []
        self.deadlines: dict[str, list[int]] = {}
        self.services = [self._service(name, next_) for name, next_ in pairwise([*HOPS, ""])]

    async def call(self, bus: Bus, name: str, root: str, timeout: float, left: float) -> None:
        with suppress(ServiceBusError), self._record.recorder.calling(f"{root}.{name}", timeout=left):
            await bus.call(f"{name}.request", {"type": "go", "root": root}, timeout=timeout)

    def _service(self, name: str, next_: str) -> Service:
        service = Service(name)

        @service.handler("go")
        async def go(message: dict[str, Any], context: Context) -> None:
            root = message["root"]
            self.starts.append((root, time.monotonic()))
            self.deadlines.setdefault(root, []).append(context.deadline_ms)
            with self._record.recorder.running(f"{root}.{name}"):
                await asyncio.sleep(random.uniform(0, 20) * MS)
                if next_:
                    await self.call(context.bus, next_, root, 60.0, max(context.remaining() or 0.0, 1e-6))

        return service

    def late(self, over: dict[str, float]) -> float:
        """How long after its first caller went away anything began at the latest, in milliseconds."""
        return 1000 * max(instant - over[root] for root, instant in self.starts if root in over)


async def goes_away(hops: Hops, bus: ServiceBus, root: str) -> None:
    """Call, and give up after up to 40 ms: half of them are cancelled then, of the others the deadline has passed."""
    patience = random.uniform(1, 40) * MS
    if random.random() < 0.5:
        hops.expired[root] = time.monotonic() + patience
        await hops.call(bus, HOPS[0], root, patience, patience)
        return
    task = asyncio.create_task(hops.call(bus, HOPS[0], root, 60.0, 60.0))
    await asyncio.wait([task], timeout=patience)
    hops.cancelled[root] = time.monotonic()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.row(12)
async def test_nothing_starts_for_a_caller_that_has_gone(server: Server, record: Record, figures: Figures) -> None:
    hops = Hops(record)
    async with calling(server.url, *hops.services) as bus:
        for first in range(0, TRIES, 50):
            await asyncio.gather(*(goes_away(hops, bus, record.id(number)) for number in range(first, first + 50)))
        await asyncio.sleep(100 * MS)
    assert record.problems() == []
    assert max(len(found) for found in hops.deadlines.values()) == len(HOPS)
    assert all(found == sorted(found, reverse=True) for found in hops.deadlines.values())
    expired, cancelled = hops.late(hops.expired), hops.late(hops.cancelled)
    figures(
        12,
        f"{TRIES:,} callers of three hops gone after 1 to 40 ms: {len(hops.starts):,} hops began, no deadline later "
        f"than the one before; the last {expired:+.1f} ms after a deadline, {cancelled:+.1f} ms after a cancellation",
    )
    assert expired <= 1000 * allowed(5 * MS)
    assert cancelled <= 1000 * allowed(50 * MS), "the word that somebody is gone takes a moment"
