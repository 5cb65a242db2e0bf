"""Workers that are killed, stopped, told to end, or not there."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from pathlib import Path

import pytest

from servicebus import NoWorkers, ServiceBus
from servicebus.testing.servers import Server

from ...support.faults.calls import Calls
from ...support.faults.fleet import drained, fleet
from ...support.faults.record import Figures, Record
from ...support.faults.sizes import SOAK, lasting, sized
from ...support.faults.worker_site import CHANNEL
from ...support.timing import (
    MS,
    Stopwatch,
    allowed,
    eventually,
)

KILL_EVERY = 2.0 if SOAK else 0.4
CREDIT = 16
ENDLESS = 10**9


@pytest.mark.row(1)
async def test_killed_workers_run_nothing_twice_and_every_call_has_an_outcome(
    own_server: Server, tmp_path: Path, record: Record, figures: Figures
) -> None:
    kills = 0

    async def kill_on() -> None:
        nonlocal kills
        while True:
            await asyncio.sleep(KILL_EVERY)
            kills += workers.kill()
            workers.start(4 - len(workers.workers))

    calls, count = Calls(record), sized(20_000, 1_000_000)
    with fleet(tmp_path, own_server.url, record) as workers:
        async with ServiceBus(own_server.url) as bus:
            workers.start(4)
            await workers.serving(4)
            killing = asyncio.create_task(kill_on())
            await calls.many(bus, count, 256, 1.0, lambda: random.uniform(0, 60) * MS)
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
    assert record.problems() == []
    assert kills >= 5
    figures(1, f"{count:,} calls, {kills} kills: 0 twice; {calls}")


@pytest.mark.row(2)
async def test_a_paused_worker_loses_at_most_its_credit_and_starts_nothing_late(
    own_server: Server, tmp_path: Path, record: Record, figures: Figures
) -> None:
    calls = Calls(record)
    with fleet(tmp_path, own_server.url, record, "--concurrency", str(CREDIT)) as workers:
        async with ServiceBus(own_server.url) as bus:
            workers.start(2)
            await workers.serving(2)
            # Shorter than the standstill, longer than the other worker may have to wait for a busy machine.
            load = asyncio.create_task(calls.many(bus, ENDLESS, 2 * CREDIT, 4.0, lambda: 5 * MS))
            await asyncio.sleep(500 * MS)
            workers.workers[0].signal(signal.SIGSTOP)
            await asyncio.sleep(5.0)
            workers.workers[0].signal(signal.SIGCONT)
            await asyncio.sleep(1.0)
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
    lost = calls.outcomes.total() - calls.outcomes["ok"]
    assert record.problems() == []
    assert 0 < lost <= CREDIT, str(calls)
    figures(2, f"lost {lost} of a credit of {CREDIT}; 0 started late; {calls}")


@pytest.mark.row(8)
async def test_a_worker_under_full_load_drains_within_five_seconds(
    own_server: Server, tmp_path: Path, record: Record, figures: Figures
) -> None:
    calls, times, slowest = Calls(record), 100, 0.0
    with fleet(tmp_path, own_server.url, record, "--concurrency", "64") as workers:
        async with ServiceBus(own_server.url) as bus:
            workers.start(3)
            await workers.serving(2)
            load = asyncio.create_task(calls.many(bus, ENDLESS, 128, 5.0, lambda: 10 * MS))
            for _ in range(times):
                await workers.serving(2)
                slowest = max(slowest, await drained(workers))
                workers.start()
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
    assert record.problems() == []
    assert set(calls.outcomes) == {"ok"}, calls.outcomes
    assert slowest <= allowed(5.0)
    figures(8, f"{times} workers ended, the slowest after {slowest:.2f} s; {calls}, 0 accepted lost")


@pytest.mark.row(13)
async def test_a_call_without_a_worker_is_refused_once_registrations_end(
    own_server: Server, tmp_path: Path, record: Record, figures: Figures
) -> None:
    ttl = 5.0
    with fleet(tmp_path, own_server.url, record) as workers:
        async with ServiceBus(own_server.url) as bus:
            at_once = max([await refused_after(bus) for _ in range(100)])
            workers.start()
            await workers.serving(1)
            assert await Calls(record).call(bus, 2.0)
            killed = time.monotonic()
            assert workers.kill()
            await eventually(lambda: not own_server.all_keys(f"*{CHANNEL}*:workers"), within=2 * ttl)
            after_kill = time.monotonic() - killed
            await refused_after(bus)
    assert record.problems() == []
    figures(13, f"NoWorkers after {1000 * at_once:.1f} ms at most; {after_kill:.1f} s after the last worker was killed")
    assert at_once <= allowed(50 * MS)
    assert after_kill <= allowed(ttl)


async def refused_after(bus: ServiceBus) -> float:
    with Stopwatch() as watch, pytest.raises(NoWorkers) as caught:
        await bus.call(CHANNEL, {"type": "run", "id": "nobody"})
    assert caught.value.executed == "no"
    return watch.seconds


@pytest.mark.row(15)
@pytest.mark.soak
async def test_expired_calls_do_not_run_when_workers_return(
    own_server: Server, tmp_path: Path, record: Record, figures: Figures
) -> None:
    calls, away = Calls(record), lasting(5.0, 60.0)
    with fleet(tmp_path, own_server.url, record) as workers:
        async with ServiceBus(own_server.url, presence_ttl=5.0) as bus:
            workers.start()
            await workers.serving(1)
            load = asyncio.create_task(calls.many(bus, ENDLESS, 64, 1.0, lambda: 1 * MS))
            await asyncio.sleep(1.0)
            assert workers.kill()
            await asyncio.sleep(away)
            workers.start()
            await workers.serving(1)
            with Stopwatch() as watch:
                assert await calls.call(bus, 1.0)
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
    assert record.problems() == []
    assert calls.said("no") > 0
    figures(
        15, f"workers away for {away:.0f} s: 0 expired ran, a fresh call after {1000 * watch.seconds:.1f} ms; {calls}"
    )
    assert watch.seconds <= allowed(1.0)
