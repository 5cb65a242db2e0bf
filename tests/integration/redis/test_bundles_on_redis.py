"""What a worker answers at once lies in a caller's inbox as one element, and nothing else does."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import msgpack
import pytest

from servicebus import ChannelFull, Service, ServiceBus
from servicebus.inbox import ELEMENTS_AT_ONCE
from servicebus.layers.layer import Layer
from servicebus.layers.redis import RedisChannelLayer
from servicebus.layers.redis.connection.greeting import Greeting
from servicebus.layers.redis.topology.migrated_frames import adopted
from servicebus.protocol.bundles import MAX_FRAMES, bundle, unbundled
from servicebus.testing.servers import Server

from ...support.timing import PATIENT, eventually
from ...support.transport import (
    Delivery,
    Layers,
    number_of,
    outcomes,
)

INBOX, CHANNEL = "4f2a!", "shop.request"


async def pushed(layer: Layer, channel: str, numbers: range, **options: Any) -> list[Delivery]:
    """One tick's deliveries, the first of which may leave alone: nothing was on its way."""
    deliveries = [Delivery(layer, channel, number, **options) for number in numbers]
    for delivery in deliveries:
        layer.push(delivery)
    return deliveries


async def test_what_one_tick_sends_to_an_inbox_is_one_element(server: Server) -> None:
    layers = Layers(server.url)
    layer = await layers.open()
    assert await outcomes(await pushed(layer, INBOX, range(40), may_bundle=True)) == {None: 40}
    elements = server.frames(INBOX)
    assert len(elements) == 2
    assert [number_of(frame) for frame in unbundled(elements)] == [*range(40)]
    assert [number_of(frame) for frame in msgpack.unpackb(elements[1])[0]] == [*range(1, 40)]
    await layers.close()


@pytest.mark.parametrize(
    ("channel", "options"),
    [(CHANNEL, {}), (CHANNEL, {"may_bundle": True}), (INBOX, {}), (INBOX, {"needs_worker": True})],
)
async def test_anything_else_lies_there_frame_by_frame(server: Server, channel: str, options: dict[str, bool]) -> None:
    layers = Layers(server.url)
    layer = await layers.open()
    server.register(channel)
    assert await outcomes(await pushed(layer, channel, range(40), **options)) == {None: 40}
    assert [number_of(frame) for frame in server.frames(channel)] == [*range(40)]
    await layers.close()


async def test_a_full_inbox_refuses_a_bundle_as_a_whole(server: Server) -> None:
    layers = Layers(server.url)
    layer = await layers.open(inbox_capacity=2)
    assert await outcomes(await pushed(layer, INBOX, range(40), may_bundle=True)) == {None: 40}
    refused = await pushed(layer, INBOX, range(40, 80), may_bundle=True)
    assert [type(await delivery.outcome()) for delivery in refused] == [ChannelFull] * 40
    assert [number_of(frame) for frame in unbundled(server.frames(INBOX))] == [*range(40)]
    await layers.close()


async def test_of_a_large_batch_an_inbox_takes_the_bundles_that_it_has_room_for(
    own_server: Server,
) -> None:
    layers = Layers(own_server.url)
    layer = await layers.open(inbox_capacity=2, flush_at=1000, timing=PATIENT)
    own_server.pause()
    await pushed(layer, CHANNEL, range(1))  # behind which the others wait, so that none leaves alone
    deliveries = await pushed(layer, INBOX, range(300), may_bundle=True)
    own_server.resume()
    found = [await delivery.outcome() for delivery in deliveries]
    assert found[:128] == [None] * 128
    assert [type(error) for error in found[128:]] == [ChannelFull] * 172
    assert [number_of(frame) for frame in unbundled(own_server.frames(INBOX))] == [*range(128)]
    await layers.close()


async def test_a_channel_is_full_whatever_lies_in_front_of_its_messages(server: Server) -> None:
    layer = RedisChannelLayer(hosts=[server.url], capacity=3)
    channel = f"specific.{INBOX}c1"
    frame = msgpack.packb([0, 1, "response.x!c9", {"type": "reply", "body": 1}])
    server.run("RPUSH", f"asgi:{{{INBOX}}}", bundle([frame, frame]))
    for _ in range(3):
        await layer.send(channel, {"type": "x"})
    with pytest.raises(ChannelFull):
        await layer.send(channel, {"type": "x"})
    assert len(server.frames(INBOX)) == 4
    await layer.close()


async def test_a_channels_consumer_gets_every_reply_of_a_bundle(server: Server) -> None:
    echo = Service("echo")

    @echo.handler("echo")
    async def answer(message: dict[str, Any]) -> dict[str, Any]:
        return {"n": message["n"]}

    layer = RedisChannelLayer(hosts=[server.url])
    mine = await layer.new_channel()
    async with ServiceBus(server.url, service="echo") as bus, bus.serving(echo):
        replies = asyncio.gather(*(layer.receive(mine) for _ in range(60)))
        await asyncio.gather(
            *(layer.send("echo.request", {"type": "echo", "n": n, "reply_channel": mine}) for n in range(60))
        )
        assert sorted(reply["body"]["n"] for reply in await replies) == [*range(60)]
    await layer.close()


async def test_a_broken_frame_in_a_bundle_is_counted_and_its_neighbours_arrive(server: Server) -> None:
    server.register(CHANNEL)
    async with ServiceBus(server.url) as bus:
        calls = [asyncio.create_task(bus.call(CHANNEL, {"type": "x"})) for _ in range(2)]
        await eventually(lambda: len(server.frames(CHANNEL)) == 2)
        channels = [msgpack.unpackb(frame)[3]["reply_channel"] for frame in server.frames(CHANNEL)]
        routes = [bus_route(channel) for channel in channels]
        first, second = (
            msgpack.packb([0, 2**62, local, {"type": "reply", "body": n}]) for n, (_, local) in enumerate(routes)
        )
        inbox = f"asgi:{{{routes[0][0]}}}"
        server.run("RPUSH", inbox, bundle([first])[:-1], bundle([first, b"\xc1", bundle([first]), second]))
        assert await asyncio.gather(*calls) == [0, 1]
        assert bus.counters.rejected_frames == 3
        assert bus.counters.late_replies == 0


def bus_route(reply_channel: str) -> tuple[str, str]:
    name, unique = reply_channel.split("!")
    prefix, process = name.rsplit(".", 1)
    return f"{process}!", f"{prefix}!{unique}"


async def test_thousands_of_calls_at_once_get_each_its_own_reply(server: Server) -> None:
    echo = Service("echo")

    @echo.handler("echo")
    async def answer(message: dict[str, Any]) -> Any:
        await asyncio.sleep(message["n"] % 7 / 1000)
        return message["n"]

    async with ServiceBus(server.url, service="echo") as serving, serving.serving(echo), ServiceBus(server.url) as bus:
        calls = (bus.call("echo.request", {"type": "echo", "n": n}, timeout=30.0) for n in range(3000))
        assert await asyncio.gather(*calls) == [*range(3000)]
        assert bus.counters.late_replies == 0


async def test_a_caller_that_stood_still_hears_what_came_meanwhile_in_portions(server: Server) -> None:
    server.register(CHANNEL)
    async with ServiceBus(server.url) as bus:
        waiting = asyncio.create_task(bus.call(CHANNEL, {"type": "x"}))
        await eventually(lambda: len(server.frames(CHANNEL)) == 1)
        inbox, local = bus_route(msgpack.unpackb(server.frames(CHANNEL)[0])[3]["reply_channel"])
        late = bundle([msgpack.packb([0, 2**62, local + "x", {"type": "reply"}])] * MAX_FRAMES)
        mine = msgpack.packb([0, 2**62, local, {"type": "reply", "body": 1}])
        seen: list[int] = []

        async def look() -> None:
            while True:
                seen.append(bus.counters.late_replies)
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        server.run("RPUSH", f"asgi:{{{inbox}}}", *[late] * 100, mine)
        assert await waiting == 1
        looking.cancel()
        assert bus.counters.late_replies == 100 * MAX_FRAMES
        assert max(after - before for before, after in pairwise(seen)) <= ELEMENTS_AT_ONCE * MAX_FRAMES


OURS, THEIRS, DEAD = 70_000, 80_000, 90_000


def frame_of(fence: int) -> bytes:
    packed: bytes = msgpack.packb([fence, 1, "response.x!1", {"type": "reply"}])
    return packed


def test_frames_in_a_migrated_bundle_get_the_fence_of_this_primary() -> None:
    elements = [frame_of(THEIRS), bundle([frame_of(OURS), frame_of(THEIRS), frame_of(DEAD), b"\xc1"]), b"\x91\xc1"]
    found = adopted(elements, Greeting(1, OURS, 0.0), {OURS, THEIRS}.__contains__)
    frames = unbundled(found)
    assert [msgpack.unpackb(frame)[0] for frame in frames[:4]] == [OURS, OURS, OURS, DEAD]
    assert frames[4] == b"\xc1"
    assert found[2:] == [bundle([b"\x91\xc1"])]
    assert adopted(elements, Greeting(1, OURS, 0.0, promoted=True), {OURS, THEIRS}.__contains__) == elements
