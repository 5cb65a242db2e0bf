"""Ten times more calls than can be served, for a minute: what is served meanwhile, and when it is over."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from servicebus import ServiceBus
from servicebus.testing.servers import Server

from ...support.faults.calls import Calls
from ...support.faults.fleet import fleet
from ...support.faults.record import Figures, Record
from ...support.faults.sizes import lasting
from ...support.timing import MS, allowed

CONCURRENCY = 8
TAKES = 40 * MS
"""What a handler takes: one worker does at most 200 calls in a second, and that is not much work for anybody."""
OPTIONS = ("--concurrency", str(CONCURRENCY))
TIMEOUT = 1.0
SEND_INTERVAL = 20 * MS
IN_A_ROW = 200


class Offer:
    """Calls that are made at a rate, whatever becomes of them."""

    def __init__(self, calls: Calls, bus: ServiceBus) -> None:
        self._calls, self._bus = calls, bus
        self._pending: set[asyncio.Task[bool]] = set()
        self.answered: list[float] = []

    async def at(self, rate: float, seconds: float) -> float:
        """Calls that were answered in each second, the first one left out."""
        begin = time.monotonic()
        made = 0
        while (passed := time.monotonic() - begin) < seconds:
            for _ in range(int(rate * passed) - made):
                self._make()
                made += 1
            await asyncio.sleep(SEND_INTERVAL)
        end = time.monotonic()
        return sum(begin + 1 < instant < end for instant in self.answered) / (end - begin - 1)

    def _make(self) -> None:
        task = asyncio.create_task(self._one())
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _one(self) -> bool:
        answered = await self._calls.call(self._bus, TIMEOUT, TAKES)
        if answered:
            self.answered.append(time.monotonic())
        return answered

    async def normal_after(self, rate: float) -> float:
        """Seconds until a row of calls at a rate that can be served has no failure in it any more."""
        begin, row, since = time.monotonic(), 0, time.monotonic()
        while row < IN_A_ROW:
            task = asyncio.create_task(self._one())
            row, since = (row + 1, since) if await task else (0, time.monotonic())
            await asyncio.sleep(1 / rate)
        return since - begin

    async def end(self) -> None:
        await asyncio.gather(*self._pending)


@pytest.mark.row(14)
@pytest.mark.soak
async def test_a_shedding_worker_keeps_its_throughput_under_tenfold_load(
    own_server: Server, tmp_path: Path, record: Record, figures: Figures
) -> None:
    """Without shedding every call waits until hardly any time is left, and most of the work is done for nobody."""
    calls, seconds = Calls(record), lasting(10.0, 60.0)
    with fleet(tmp_path, own_server.url, record, *OPTIONS, service="shedding") as workers:
        async with ServiceBus(own_server.url) as bus:
            workers.start()
            await workers.serving(1)
            offer = Offer(calls, bus)
            can_do = CONCURRENCY / TAKES
            peak = await offer.at(1.2 * can_do, 10.0)
            await offer.end()
            goodput = await offer.at(10 * can_do, seconds)
            normal = await offer.normal_after(can_do / 8)
            await offer.end()
    assert record.problems() == []
    figures(
        14,
        f"peak {peak:.0f}/s; at 10 times that for {seconds:.0f} s {goodput:.0f}/s ({goodput / peak:.0%}); "
        f"normal {normal:.2f} s after; {calls}",
    )
    assert goodput >= 0.9 * peak
    assert normal <= allowed(5.0)
