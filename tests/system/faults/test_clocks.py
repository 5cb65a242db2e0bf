"""Processes whose wall clock is wrong: deadlines are instants on the server's clock and know nothing of it."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from servicebus import ServiceBus
from servicebus.testing.servers import Server

from ...support.faults.calls import Calls
from ...support.faults.clockwork import CHANNEL
from ...support.faults.record import Figures, Record
from ...support.faults.worker_site import HISTORY
from ...support.processes import Worker
from ...support.timing import LONG, MS, allowed, eventually

HOUR = 3600.0
OFF = 100 * MS
TIMEOUTS = [0.3, 1.0, 5.0, 60.0]


@asynccontextmanager
async def worker_that_is_fast_by(
    seconds: float, directory: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Worker]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "support" / "faults" / "clock"))
    monkeypatch.setenv("SERVICEBUS_TEST_CLOCK", str(seconds))
    started = Worker(directory / "worker.log", "tests.support.faults.clockwork", "--url", url, "--concurrency", "4")
    try:
        await eventually(lambda: f"serving {CHANNEL}" in started.log, within=LONG)
        yield started
    finally:
        started.process.kill()
        started.process.wait(10)


async def furthest_off(bus: ServiceBus, fast_by: float) -> float:
    """By how many seconds a worker was most wrong about the time that was left to it, at first or in a nested call."""
    worst = 0.0
    for timeout in TIMEOUTS:
        started = time.monotonic()
        left, there = await bus.call(CHANNEL, {"type": "left"}, timeout=timeout)
        took = time.monotonic() - started
        assert abs(there - time.time() - fast_by) < 5, "its clock is wrong indeed"
        worst = max(worst, float(left) - timeout, timeout - took - float(left))
    ended: float = await bus.call(CHANNEL, {"type": "nested", "timeout": 0.3}, timeout=5.0)
    return max(worst, abs(ended - 0.3))


@pytest.mark.row(38)
@pytest.mark.parametrize("fast_by", [HOUR, -HOUR])
async def test_a_worker_with_a_wrong_and_jumping_clock_keeps_every_deadline(
    own_server: Server,
    record: Record,
    figures: Figures,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fast_by: float,
) -> None:
    monkeypatch.setenv(HISTORY, str(record.path))
    own_server.register("silent.request")
    async with (
        worker_that_is_fast_by(fast_by, tmp_path, own_server.url, monkeypatch) as worker,
        ServiceBus(own_server.url) as bus,
    ):
        worst = await furthest_off(bus, fast_by)
        worker.signal(signal.SIGUSR2)
        await jumped(bus, -fast_by)
        worst = max(worst, await furthest_off(bus, -fast_by))
        calls = await overload(bus, record)
    figures(38, f"{fast_by:+.0f} s, then {-fast_by:+.0f} s: off by {worst * 1000:.0f} ms at most; {calls}")
    assert worst <= allowed(OFF)
    assert calls.outcomes["ok"] > 0
    assert record.problems() == []


async def jumped(bus: ServiceBus, to: float) -> None:
    async with asyncio.timeout(LONG):
        while abs((await bus.call(CHANNEL, {"type": "left"}))[1] - time.time() - to) > 5:
            await asyncio.sleep(MS)


async def overload(bus: ServiceBus, record: Record) -> Calls:
    """More calls than the worker can serve in time: some must not be started any more."""
    calls = Calls(record)
    await asyncio.gather(
        *(calls.call(bus, random.choice([0.05, 0.2, 0.5]), seconds=0.02, channel=CHANNEL) for _ in range(200))
    )
    return calls


@pytest.mark.row(38)
@pytest.mark.parametrize("fast_by", [HOUR, -HOUR])
async def test_a_caller_with_a_wrong_clock_sets_the_right_deadlines(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_by: float, figures: Figures
) -> None:
    """The worker's clock is off by as much in the other direction."""
    own_server.register("silent.request")
    async with worker_that_is_fast_by(-fast_by, tmp_path, own_server.url, monkeypatch):
        clock = time.time
        monkeypatch.setattr(time, "time", lambda: clock() + fast_by)
        async with ServiceBus(own_server.url) as bus:
            worst = await furthest_off(bus, -2 * fast_by)
    figures(38, f"the caller {fast_by:+.0f} s, the worker {-fast_by:+.0f} s: off by {worst * 1000:.0f} ms at most")
    assert worst <= allowed(OFF)
