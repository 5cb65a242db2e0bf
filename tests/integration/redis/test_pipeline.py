"""The sending connection when it does not send: what waits, for how long, and what becomes of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from servicebus import ChannelFull, DeadlineExceeded, Overloaded, SendUnknown, Service, ServiceBus, Unavailable
from servicebus.config import DEFAULT_TIMING, Timing
from servicebus.layers.limits import Limits
from servicebus.layers.redis.layer import RedisLayer
from servicebus.layers.redis.topology.address import Address
from servicebus.serving.service_runner import ServiceRunner
from servicebus.testing.proxy import proxied
from servicebus.testing.servers import Server

from ...support.shop import (
    CHANNEL,
    Count,
    calling,
    counter,
)
from ...support.timing import (
    LONG,
    MS,
    PATIENT,
    Stopwatch,
    allowed,
    eventually,
)
from ...support.transport import Delivery, Layers, outcomes, push


async def away(server: Server, bus: ServiceBus) -> None:
    """End the server, and wait until the bus knows."""
    server.kill()
    await eventually(lambda: not is_connected(bus))


def is_connected(bus: ServiceBus) -> bool:
    layer = bus.session.layer
    assert isinstance(layer, RedisLayer)
    return all(pipeline.link.connection is not None for pipeline in layer.nodes.pipelines())


async def test_a_call_that_could_not_leave_before_its_deadline_never_will(own_server: Server) -> None:
    async with ServiceBus(own_server.url, timing=PATIENT) as bus:
        await away(own_server, bus)
        with Stopwatch() as watch, pytest.raises(DeadlineExceeded) as caught:
            await bus.call(CHANNEL, Count(), timeout=0.1)
        assert 0.1 <= watch.seconds < allowed(0.2)
        assert (caught.value.stage, caught.value.executed) == ("queued", "no")
        await own_server.restart()
        await bus.send("other.request", Count())
    assert own_server.frames(CHANNEL) == []


async def test_what_waits_for_a_connection_is_bounded(own_server: Server) -> None:
    layers = Layers(own_server.url)
    layer = await layers.open(max_waiting_bytes=1000, timing=PATIENT)
    assert isinstance(layer, RedisLayer)
    own_server.kill()
    await eventually(lambda: layer.nodes.pipelines()[0].link.connection is None)
    deliveries = push(layer, CHANNEL, ["y" * 100] * 20)
    refused = [delivery for delivery in deliveries if delivery.settled.done()]
    assert 10 <= len(refused) < 20
    for delivery in refused:
        error = await delivery.outcome()
        assert isinstance(error, Overloaded)
        assert (error.executed, error.retryable) == ("no", True)
    await own_server.restart()
    assert {await delivery.outcome() for delivery in deliveries if delivery not in refused} == {None}
    assert [await delivery.outcome() for delivery in push(layer, CHANNEL, ["y" * 100])] == [None]
    await layers.close()


async def test_a_connection_without_an_answer_for_too_long_is_replaced(
    server: Server,
) -> None:
    async with proxied(server.path) as proxy, ServiceBus(proxy.url, timing=Timing(max_silence=0.3)) as bus:
        await bus.send(CHANNEL, Count())
        proxy.black_hole = True
        with Stopwatch() as watch, pytest.raises(SendUnknown) as caught:
            await bus.send(CHANNEL, Count())
        assert 0.3 <= watch.seconds < allowed(0.7)
        assert caught.value.executed == "maybe"
        proxy.black_hole = False
        await bus.send(CHANNEL, Count())


async def test_a_service_that_cannot_register_in_time_is_not_served(server: Server) -> None:
    async with proxied(server.path) as proxy, ServiceBus(proxy.url) as bus:
        layer = bus.session.layer
        assert layer is not None
        proxy.black_hole = True
        serving = ServiceRunner(Service("shop"), bus, bus.wire, layer, "w1", 1)
        with pytest.raises(Unavailable, match=r"shop\.request could not be served within"):
            await serving.start(within=0.1)
        proxy.black_hole = False
        await serving.stop(drain=0)


async def test_in_a_known_outage_nothing_waits_and_all_goes_on_after_it(
    own_server: Server,
) -> None:
    async with calling(own_server.url, counter()) as bus:
        await away(own_server, bus)
        with Stopwatch() as watch, pytest.raises(Unavailable):
            await bus.send(CHANNEL, Count())
        assert DEFAULT_TIMING.max_outage - 100 * MS <= watch.seconds < allowed(DEFAULT_TIMING.max_outage + 0.2)
        with Stopwatch() as watch, pytest.raises(Unavailable):
            await bus.send(CHANNEL, Count())
        assert watch.seconds < allowed(10 * MS)
        await own_server.restart()
        await eventually(lambda: is_connected(bus))
        await bus.wait_for_workers(CHANNEL)
        assert await bus.call(CHANNEL, Count(upto=1)) == 1


async def test_a_close_sends_what_waits_behind_a_full_buffer_too(server: Server) -> None:
    layer = RedisLayer(Address(path=server.path), "asgi", Limits())
    await layer.open()
    with server.standing_still():
        deliveries = []
        for tick in range(4):
            deliveries += [Delivery(layer, f"c{tick}", "x" * 500_000) for _ in range(4)]
            for delivery in deliveries[-4:]:
                layer.push(delivery)
            await asyncio.sleep(0.01)
        closing = asyncio.create_task(layer.close())
        await asyncio.sleep(0.05)
    await closing
    assert await outcomes(deliveries) == {None: 16}


async def test_a_close_without_a_connection_refuses_what_waits_at_once(own_server: Server) -> None:
    layer = RedisLayer(Address(path=own_server.path), "asgi", Limits())
    await layer.open()
    own_server.kill()
    await eventually(lambda: all(pipeline.link.connection is None for pipeline in layer.nodes.pipelines()))
    deliveries = push(layer, CHANNEL, ["x"])
    with Stopwatch() as watch:
        await layer.close()
    assert watch.seconds < allowed(100 * MS)
    assert await outcomes(deliveries) == {Unavailable: 1}


async def test_a_command_goes_behind_frames_that_wait_for_a_full_buffer(server: Server) -> None:
    layer = RedisLayer(Address(path=server.path), "asgi", Limits())
    await layer.open()
    with server.standing_still():
        first = [Delivery(layer, "c0", "x" * 500_000) for _ in range(4)]
        for delivery in first:
            layer.push(delivery)
        await asyncio.sleep(0.01)
        last = Delivery(layer, "c1", "x" * 500_000)
        layer.push(last)
        await asyncio.sleep(0.01)
        taking = asyncio.create_task(layer.withdraw(last))
        asked = asyncio.create_task(layer.workers("c1"))
        await asyncio.sleep(0.05)
        assert not asked.done()
    assert await taking == [last]
    assert await asked == 0
    assert await outcomes(first) == {None: 4}
    await layer.close()
    assert server.frames("c1") == []


async def test_a_withdrawn_call_leaves_no_demand_on_the_next_message(server: Server) -> None:
    async with ServiceBus(server.url) as bus:
        await bus.send(CHANNEL, Count())
        layer = bus.session.layer
        assert isinstance(layer, RedisLayer)
        layer.nodes.pipelines()[0].abort()
        while is_connected(bus):
            await asyncio.sleep(0)
        call = asyncio.create_task(bus.call(CHANNEL, Count()))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await asyncio.sleep(0)
        await bus.send(CHANNEL, Count())
    assert len(server.frames(CHANNEL)) == 2


async def test_a_refusal_keeps_no_full_channel_alive(server: Server) -> None:
    async with ServiceBus(server.url, capacity=3, expiry=0.5) as bus:
        for _ in range(3):
            await bus.send(CHANNEL, Count())
        refused = 0
        async with asyncio.timeout(LONG):
            while server.frames(CHANNEL):
                with suppress(ChannelFull):
                    await bus.send(CHANNEL, Count())
                    break
                refused += 1
                await asyncio.sleep(40 * MS)
    assert refused > 3
