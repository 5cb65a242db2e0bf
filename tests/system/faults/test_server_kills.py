"""A server that is killed, started again, or stands still."""

from __future__ import annotations

import asyncio
import logging
import random
import signal

import pytest

from servicebus import ServiceBus
from servicebus.testing.servers import Server

from ...support.faults.calls import Calls
from ...support.faults.local import site
from ...support.faults.record import Figures, Record
from ...support.shop import calling
from ...support.timing import MS, Stopwatch, allowed

RESTARTS = 20


@pytest.mark.row(3)
async def test_calls_run_once_and_resume_soon_while_the_server_restarts(
    own_server: Server, record: Record, figures: Figures, caplog: pytest.LogCaptureFixture
) -> None:
    calls, slowest = Calls(record), 0.0
    with caplog.at_level(logging.INFO, "servicebus"):
        async with calling(own_server.url, site(record)) as bus:
            for number in range(RESTARTS):
                under_way = [asyncio.create_task(calls.call(bus, 0.5)) for _ in range(100)]
                await asyncio.sleep(random.uniform(0, 5) * MS)
                own_server.kill(signal.SIGKILL if number % 2 else signal.SIGTERM)
                await asyncio.sleep(random.uniform(0, 50) * MS)
                await own_server.restart()
                slowest = max(slowest, await served_after(calls, bus))
                await asyncio.gather(*under_way)
    assert record.problems() == []
    assert "NOSCRIPT" not in caplog.text
    assert slowest <= allowed(1.0)
    figures(3, f"{RESTARTS} restarts, served after {slowest:.3f} s at most: 0 twice, 0 NOSCRIPT; {calls}")


async def served_after(calls: Calls, bus: ServiceBus) -> float:
    with Stopwatch() as watch:
        while not await calls.call(bus, 0.3):
            await asyncio.sleep(5 * MS)
    return watch.seconds


@pytest.mark.row(5)
async def test_a_paused_server_runs_nothing_twice_and_deadlines_are_met(
    own_server: Server, record: Record, figures: Figures
) -> None:
    calls = Calls(record)
    async with calling(own_server.url, site(record)) as bus:
        assert await calls.call(bus, 1.0)
        under_way = [asyncio.create_task(calls.call(bus, 1.0)) for _ in range(50)]
        with own_server.standing_still():
            under_way += [asyncio.create_task(calls.call(bus, 1.0)) for _ in range(50)]
            await asyncio.sleep(3.0)
        await asyncio.gather(*under_way)
        back = await served_after(calls, bus)
    assert record.problems() == []
    figures(5, f"100 calls, 3 s: each once at most, errors on time, served {1000 * back:.0f} ms after; {calls}")
