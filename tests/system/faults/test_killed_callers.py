"""Callers whose link is cut, and callers that change their mind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest

from servicebus import ServiceBus, ServiceBusError
from servicebus.layers.redis.schema.scripts import SEND
from servicebus.testing.proxy import Proxy, proxied
from servicebus.testing.servers import Server

from ...support.faults.calls import Calls
from ...support.faults.local import served, site
from ...support.faults.record import Figures, Record
from ...support.faults.worker_site import CHANNEL
from ...support.shop import calling
from ...support.timing import LONG, MS

CUTS = 1000
CANCELS = 10_000
AT_ONCE = 1000


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    async with proxied(server.path) as proxy:
        yield proxy


@pytest.mark.row(4)
async def test_a_call_cut_between_execution_and_answer_runs_once(
    server: Server, record: Record, proxy: Proxy, figures: Figures
) -> None:
    calls = Calls(record)
    async with served(server.url, site(record)), ServiceBus(proxy.url) as bus:
        for _ in range(CUTS):
            await linked(bus)
            proxy.cut_before_answer = b"EVALSHA\r\n$40\r\n" + SEND.sha
            await calls.call(bus, 2.0)
            proxy.cut_before_answer = b""
        await linked(bus)
    assert record.problems() == []
    assert proxy.cuts >= CUTS
    assert set(calls.outcomes) <= {"ok", "SendUnknown, maybe"}
    starts = sum(event.kind == "start" for event in record.events())
    figures(4, f"{proxy.cuts:,} cuts: {starts:,} of {calls.made:,} ran exactly once; {calls}")
    assert starts == calls.made


async def linked(bus: ServiceBus) -> None:
    """Wait for a connection that answers: one that is to be cut does not."""
    async with asyncio.timeout(LONG):
        while True:
            with suppress(ServiceBusError):
                await bus.workers(CHANNEL)
                return
            await asyncio.sleep(1 * MS)


async def cancelled(calls: Calls, bus: ServiceBus, count: int, longest: float, seconds: Callable[[], float]) -> int:
    """Make ``count`` calls beside as many that are cancelled at random instants; how many of those were in time."""
    done = 0
    for _ in range(count // AT_ONCE):
        tasks = [asyncio.create_task(calls.call(bus, 30.0, seconds())) for _ in range(2 * AT_ONCE)]
        for task in tasks[::2]:
            asyncio.get_running_loop().call_later(random.uniform(0, longest), task.cancel)
        done += sum([await was_cancelled(task) for task in tasks])
    return done


async def was_cancelled(task: asyncio.Task[Any]) -> bool:
    await asyncio.wait([task])
    return task.cancelled() or not task.result()


@pytest.mark.row(6)
async def test_of_the_calls_beside_cancelled_ones_none_is_lost(
    server: Server, record: Record, figures: Figures
) -> None:
    calls = Calls(record)
    async with calling(server.url, site(record), concurrency=64) as bus:
        done = await cancelled(calls, bus, CANCELS, 60 * MS, lambda: random.uniform(0, 10) * MS)
        assert bus.pending == 0
        assert all([await calls.call(bus, 5.0) for _ in range(200)]), "all credit was given back"
    assert record.problems() == []
    assert calls.outcomes["ok"] == calls.made - done
    assert set(calls.outcomes) == {"ok"}
    figures(6, f"{done:,} calls cancelled, 0 of {calls.outcomes['ok']:,} others lost")


@pytest.mark.row(7)
async def test_on_a_slow_link_a_cancelled_call_takes_no_other_reply(
    server: Server, record: Record, proxy: Proxy, figures: Figures
) -> None:
    calls = Calls(record)
    async with served(server.url, site(record)), ServiceBus(proxy.url) as bus:
        proxy.delay = 100 * MS
        done = await cancelled(calls, bus, CANCELS, 300 * MS, float)
        assert bus.pending == 0
    assert record.problems() == []
    assert set(calls.outcomes) == {"ok"}
    assert calls.outcomes["ok"] == calls.made - done
    figures(7, f"{done:,} calls cancelled, 0 of {calls.outcomes['ok']:,} replies taken by another call")
