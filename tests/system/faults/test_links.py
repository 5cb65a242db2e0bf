"""Links between processes and server that are slow, torn to pieces, or dead without a word."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from servicebus import ServiceBus
from servicebus.layers.redis.receiving.receiver import BLOCK, POP_SILENCE
from servicebus.testing.proxy import Proxy, proxied
from servicebus.testing.servers import Server

from ...support.faults.calls import Calls
from ...support.faults.local import served, site
from ...support.faults.record import Figures, Record
from ...support.faults.sizes import sized
from ...support.faults.worker_site import CHANNEL
from ...support.timing import LONG, MS, allowed, eventually

WORKERS = 10
LARGE, SLOW = 20, 400_000


@pytest.mark.row(22)
async def test_a_silent_link_is_detected_soon_after_a_pop_should_have_ended(
    own_server: Server, record: Record, figures: Figures
) -> None:
    calls = Calls(record)
    async with proxied(own_server.path) as proxy, ServiceBus(own_server.url) as bus, AsyncExitStack() as stack:
        for _ in range(WORKERS):
            worker = await stack.enter_async_context(ServiceBus(proxy.url, service="worker"))
            await stack.enter_async_context(worker.serving(site(record), drain=0.1))
            await asyncio.sleep(BLOCK / WORKERS)
        await calls.many(bus, 100, at_once=10, timeout=5.0)
        readers = {id for id, name in own_server.clients().items() if name.endswith(CHANNEL)}
        assert len(readers) == WORKERS
        proxy.black_hole = True
        noticed = await eventually(lambda: not readers & own_server.clients().keys(), within=5.0)
        proxy.black_hole = False
        # What reached a worker in spite of it all is served; the rest has an error by its deadline.
        await calls.many(bus, 100, at_once=10, timeout=2.0)
        assert await calls.call(bus, timeout=5.0)
    figures(22, f"the last of {WORKERS} noticed after {noticed:.2f} s; {calls}")
    assert noticed <= allowed(BLOCK + 0.5)
    assert record.problems() == []


@pytest.mark.row(24)
@pytest.mark.parametrize(("fault", "suite"), [("late", 10_000), ("in slices", 1_000), ("slow", 2_500)])
async def test_no_reply_on_a_bad_link_is_that_of_another_call(
    own_server: Server, record: Record, figures: Figures, fault: str, suite: int
) -> None:
    """Each call gets its own ID back. Byte by byte, and 100 KB a second, the full 10,000 are for the long run."""
    calls, count = Calls(record), sized(suite, 10_000)
    async with proxied(own_server.path) as proxy, ServiceBus(proxy.url, service="t") as bus:
        async with served(proxy.url, site(record), concurrency=1000):
            spoil(proxy, fault)
            await calls.many(bus, count, at_once=1000, timeout=60.0)
            proxy.heal()
        assert (bus.counters.late_replies, bus.counters.rejected_frames) == (0, 0)
    figures(24, f"{fault}: {calls}, 0 mismatches")
    assert calls.outcomes == {"ok": count}
    assert record.problems() == []


@pytest.mark.row(24)
async def test_a_slow_answer_that_keeps_arriving_is_not_a_dead_link(
    own_server: Server, record: Record, figures: Figures
) -> None:
    ids = [record.id(number) for number in range(LARGE)]
    async with proxied(own_server.path) as proxy, ServiceBus(own_server.url) as bus:
        for id in ids:
            with record.recorder.calling(id, channel=CHANNEL, reply=False):
                await bus.send(CHANNEL, {"type": "run", "id": id, "seconds": 0.0, "padding": bytes(60_000)})
        proxy.bandwidth = SLOW
        async with served(proxy.url, site(record)):
            took = await eventually(lambda: record.count("end") == LARGE, within=LONG)
    figures(24, f"{LARGE} messages of 60 KB in one answer, {SLOW:,} bytes a second: all ran after {took:.1f} s")
    assert took > BLOCK + POP_SILENCE, "or this test says nothing"
    assert record.problems() == []


def spoil(proxy: Proxy, fault: str) -> None:
    if fault == "late":
        proxy.delay, proxy.jitter = 50 * MS, 50 * MS
    elif fault == "in slices":
        proxy.slices = 1
    else:
        proxy.bandwidth = 100_000
