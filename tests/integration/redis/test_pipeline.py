"""The sending connection when it does not send: what waits, for how long, and what becomes of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from servicebus import ChannelFull, DeadlineExceeded, Overloaded, SendUnknown, Service, ServiceBus, Unavailable
from servicebus.layers.limits import Limits
from servicebus.layers.redis.layer import RedisLayer
from servicebus.layers.redis.sending import pipeline
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
    Stopwatch,
    allowed,
    eventually,
)
from ...support.transport import Delivery, outcomes


async def away(server: Server, bus: ServiceBus) -> None:
    """End the server, and wait until the bus knows."""
    server.kill()
    await eventually(lambda: not is_connected(bus))


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent waits for a server that is started again, however long that takes on a busy machine."""
    monkeypatch.setattr(pipeline, "PATIENCE", 20.0)


def is_connected(bus: ServiceBus) -> bool:
    layer = bus.session.layer
    assert isinstance(layer, RedisLayer)
    return all(pipeline.link.connection is not None for pipeline in layer.nodes.pipelines())


async def test_a_call_that_could_not_leave_before_its_deadline_never_will(
    own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_patient(monkeypatch)
    async with ServiceBus(own_server.url) as bus:
        await away(own_server, bus)
        with Stopwatch() as watch, pytest.raises(DeadlineExceeded) as caught:
            await bus.call(CHANNEL, Count(), timeout=0.1)
        assert 0.1 <= watch.seconds < allowed(0.2)
        assert (caught.value.stage, caught.value.executed) == ("queued", "no")
        await own_server.restart()
        await bus.send("other.request", Count())
    assert own_server.frames(CHANNEL) == []


async def test_what_waits_for_a_connection_is_bounded(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "MAX_WAITING_BYTES", 1000)
    be_patient(monkeypatch)
    async with ServiceBus(own_server.url) as bus:
        await away(own_server, bus)
        sends = [asyncio.create_task(bus.send(CHANNEL, {"type": "x", "x": "y" * 100})) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        refused = [send for send in sends if send.done()]
        assert 10 <= len(refused) < 20
        for send in refused:
            error = send.exception()
            assert isinstance(error, Overloaded)
            assert (error.executed, error.retryable) == ("no", True)
        await own_server.restart()
        await asyncio.gather(*(send for send in sends if send not in refused))
        await bus.send(CHANNEL, {"type": "x", "x": "y" * 100})


async def test_a_sending_link_that_owes_an_answer_for_too_long_is_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "SILENCE", 0.3)
    async with proxied(server.path) as proxy, ServiceBus(proxy.url) as bus:
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


async def test_once_a_server_is_known_to_be_away_nothing_waits_and_all_goes_on_when_it_is_back(
    own_server: Server,
) -> None:
    async with calling(own_server.url, counter()) as bus:
        await away(own_server, bus)
        with Stopwatch() as watch, pytest.raises(Unavailable):
            await bus.send(CHANNEL, Count())
        assert pipeline.PATIENCE - 100 * MS <= watch.seconds < allowed(pipeline.PATIENCE + 0.2)
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


async def test_what_a_withdrawn_call_leaves_behind_makes_no_demands_on_what_is_sent_next(server: Server) -> None:
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
