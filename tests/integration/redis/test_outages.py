"""The Redis layer between a client and a server that are cut off from each other in every way there is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest

from servicebus import (
    DeadlineExceeded,
    NoWorkers,
    SendUnknown,
    Service,
    ServiceBus,
    Unavailable,
)
from servicebus.layers.redis.schema.scripts import SEND
from servicebus.testing.proxy import Proxy, proxied
from servicebus.testing.servers import Server

from ...support.history import Callers, History
from ...support.shop import CHANNEL, calling
from ...support.timing import (
    MS,
    PATIENT,
    Stopwatch,
    allowed,
    eventually,
)


async def eventually_served(bus: ServiceBus, found: History) -> None:
    """Call until a call is served."""
    number = 1_000_000 + len(found.events)
    while await found.call(bus, number, timeout=0.3) != "yes":
        number += 1
        await asyncio.sleep(5 * MS)


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    async with proxied(server.path) as proxy:
        yield proxy


async def test_a_one_way_message_whose_answer_is_lost_is_unknown_and_sent_once(server: Server, proxy: Proxy) -> None:
    async with ServiceBus(proxy.url) as bus:
        for number in range(20):
            proxy.cut_before_answer = b"EVALSHA\r\n$40\r\n" + SEND.sha
            with pytest.raises(SendUnknown) as caught:
                await bus.send(CHANNEL, {"type": "run", "n": number})
            assert (caught.value.executed, caught.value.retryable) == ("maybe", False)
            proxy.cut_before_answer = b""
    assert len(server.frames(CHANNEL)) == 20


async def test_answers_cut_anywhere_leave_each_caller_an_honest_outcome(server: Server, proxy: Proxy) -> None:
    found = History()
    async with ServiceBus(proxy.url) as worker, worker.serving(found.service), ServiceBus(proxy.url) as bus:
        for start in range(0, 400, 20):
            calls = [asyncio.create_task(found.call(bus, number, timeout=0.4)) for number in range(start, start + 20)]
            await asyncio.sleep(0)
            proxy.cut_after = random.randrange(1200)
            await asyncio.wait(calls, timeout=30 * MS)
            proxy.cut_after = None
            await asyncio.gather(*calls)
    assert found.problems() == []


async def test_a_call_into_a_black_hole_ends_at_its_deadline(server: Server, proxy: Proxy) -> None:
    async with calling(server.url, History().service), ServiceBus(proxy.url) as bus:
        await bus.call(CHANNEL, {"type": "run", "n": 0})
        proxy.black_hole = True
        with Stopwatch() as watch, pytest.raises(DeadlineExceeded) as caught:
            await bus.call(CHANNEL, {"type": "run", "n": 1}, timeout=0.1)
        proxy.black_hole = False
        assert 0.1 <= watch.seconds < allowed(0.1 + 100 * MS)
        assert (caught.value.stage, caught.value.executed) == ("dispatched", "maybe")


async def test_killing_any_connection_loses_no_waiting_message_and_doubles_none(server: Server) -> None:
    found = History()
    async with calling(server.url, found.service) as bus:
        callers = Callers(found, bus, [1.0], calls=1500, replies=1000)
        calls = asyncio.create_task(callers.run())
        while not calls.done():
            server.run("CLIENT", "KILL", "ID", random.choice(list(server.clients()) or [0]), "SKIPME", "yes")
            await asyncio.sleep(20 * MS)
            await callers.another_reply()
        await calls
        assert found.problems() == []
        await eventually_served(bus, found)


async def test_a_flushed_script_cache_is_not_noticed_and_order_is_kept(server: Server) -> None:
    seen = list[int]()
    service = Service("shop")

    @service.handler("run")
    async def run(message: dict[str, Any]) -> None:
        seen.append(message["n"])

    async with calling(server.url, service) as bus:
        sends = []
        for number in range(2000):
            sends.append(asyncio.create_task(bus.send(CHANNEL, {"type": "run", "n": number})))
            if number % 40 == 0:
                server.run("SCRIPT", "FLUSH")
                await asyncio.sleep(0)
        await asyncio.gather(*sends)
        await eventually(lambda: len(seen) == 2000)
    assert seen == list(range(2000))


async def test_presence_and_events_survive_a_flushed_script_cache(server: Server) -> None:
    events = list[Any]()
    service = Service("shop")

    @service.on("orders.placed")
    async def on_placed(event: dict[str, Any]) -> None:
        events.append(event)

    async with (
        ServiceBus(server.url, presence_ttl=1.0) as worker,
        worker.serving(service),
        ServiceBus(server.url) as bus,
    ):
        server.run("SCRIPT", "FLUSH")
        await bus.publish("orders.placed", {"n": 1})
        assert await bus.workers(CHANNEL) == 1
        server.run("SCRIPT", "FLUSH")
        await asyncio.sleep(1.1)
        assert await bus.workers(CHANNEL) == 1
        await bus.publish("orders.placed", {"n": 2})
        await eventually(lambda: len(events) == 2)


async def test_messages_sent_in_a_short_outage_are_delivered_in_order(
    own_server: Server,
) -> None:
    async with ServiceBus(own_server.url, timing=PATIENT) as bus:
        own_server.kill()
        await asyncio.sleep(20 * MS)
        sends = [asyncio.create_task(bus.send(CHANNEL, {"type": "run", "n": n})) for n in range(50)]
        await asyncio.sleep(20 * MS)
        await own_server.restart()
        results = await asyncio.gather(*sends, return_exceptions=True)
    assert results == [None] * 50
    frames = own_server.frames(CHANNEL)
    assert len(frames) == 50
    fence = int(own_server.info("server")["run_id"][:8], 16)
    assert {msgpack.unpackb(frame)[0] for frame in frames} == {fence}, "each carries the fence of the new primary"


async def test_a_server_that_stays_away_is_unavailable_and_nothing_was_executed(own_server: Server) -> None:
    async with ServiceBus(own_server.url, service="tests") as bus:
        await bus.send(CHANNEL, {"type": "run", "n": 0})
        own_server.kill()
        for number in (1, 2):
            with pytest.raises((Unavailable, SendUnknown)):
                await bus.send(CHANNEL, {"type": "run", "n": number})
        with Stopwatch() as watch, pytest.raises(Unavailable) as caught:
            await bus.call(CHANNEL, {"type": "run", "n": 2})
        assert watch.seconds < allowed(50 * MS), "once the outage is known, calls do not wait"
        assert (caught.value.executed, caught.value.retryable) == ("no", True)
        assert "\n" not in str(caught.value)


async def test_a_dead_worker_counts_until_its_registration_ends(server: Server, proxy: Proxy) -> None:
    async with ServiceBus(server.url) as bus, ServiceBus(proxy.url, presence_ttl=1.0) as worker:
        async with worker.serving(History().service, drain=0.1):
            await bus.call(CHANNEL, {"type": "run", "n": 0})
            proxy.black_hole = True
            with Stopwatch() as watch:
                while await bus.workers(CHANNEL):
                    await asyncio.sleep(10 * MS)
            await asyncio.sleep(5 * MS)  # the key ends within the millisecond of its last entry
            with pytest.raises(NoWorkers):
                await bus.call(CHANNEL, {"type": "run", "n": 1}, timeout=1.0)
            proxy.black_hole = False
        assert watch.seconds <= allowed(1.3)


async def test_what_a_promoted_replica_resurrects_is_dropped_and_proves_nothing(own_server: Server) -> None:
    """The new primary holds again what a worker of the old one took: to withdraw it does not mean that it never ran."""
    found = History()
    own_server.register(CHANNEL)
    async with ServiceBus(own_server.url) as bus:
        call = asyncio.create_task(found.call(bus, 1, timeout=0.6))
        await eventually(lambda: bool(own_server.frames(CHANNEL)))
        (frame,) = own_server.frames(CHANNEL)
        own_server.kill()
        await own_server.restart()
        own_server.run("RPUSH", f"asgi:{{{CHANNEL}}}", frame)
        own_server.run("PEXPIRE", f"asgi:{{{CHANNEL}}}", 5000)
        assert await call == "maybe"
        async with ServiceBus(own_server.url) as worker, worker.serving(found.service):
            await eventually(lambda: worker.counters.fenced_frames == 1)
    assert found.numbers("start") == []


async def test_callers_that_died_leave_keys_that_end_by_themselves(server: Server) -> None:
    found = History()
    found.work = until_it_is_too_late
    async with ServiceBus(server.url, expiry=0.2) as worker, worker.serving(found.service):
        bus = ServiceBus(server.url)
        await bus.open()
        calls = [asyncio.create_task(found.call(bus, number)) for number in range(20)]
        await eventually(lambda: found.count("start") == 20)
        await bus.close()
        await asyncio.wait(calls)
        await eventually(lambda: bool(server.all_keys("*!}")))
        assert await eventually(lambda: not server.all_keys("*!}"), within=2.0) <= allowed(1.4)


async def until_it_is_too_late(number: int) -> None:
    await asyncio.sleep(50 * MS)


async def test_leaving_when_the_server_is_gone_is_a_matter_of_seconds(own_server: Server) -> None:
    found = History()
    with Stopwatch() as watch:
        async with calling(own_server.url, found.service) as bus:
            assert await found.call(bus, 1) == "yes"
            own_server.kill()
    assert watch.seconds < allowed(4.0)
