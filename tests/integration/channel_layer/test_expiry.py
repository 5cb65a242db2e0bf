from __future__ import annotations

import asyncio

import pytest

from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import Server

from ...support.channel_tools import (
    Make,
    drained,
    fill,
    nothing,
    numbers,
    received,
)
from ...support.timing import MS, allowed, eventually

SHORT = 300 * MS
AFTER = 400 * MS


async def of_each_kind(layer: RedisChannelLayer) -> list[str]:
    """A normal and a process-local channel. They wait for time to pass together."""
    return ["a", await layer.new_channel()]


async def test_a_message_that_lay_too_long_is_not_delivered(make_timed: Make) -> None:
    layer = make_timed(expiry=SHORT)
    both = await of_each_kind(layer)
    for channel in both:
        await layer.send(channel, {"n": 0})
    await asyncio.sleep(AFTER)
    await asyncio.gather(*(nothing(layer, channel) for channel in both))
    for channel in both:
        await layer.send(channel, {"n": 1})
        assert await numbers(layer, channel, 1) == [1]


async def test_the_oldest_expires_alone(make_timed: Make) -> None:
    layer = make_timed(expiry=2 * SHORT)
    both = await of_each_kind(layer)
    for channel in both:
        await layer.send(channel, {"n": 0})
    await asyncio.sleep(500 * MS)
    for channel in both:
        await layer.send(channel, {"n": 1})
    await asyncio.sleep(150 * MS)
    for channel in both:
        assert await numbers(layer, channel, 1) == [1]
    await asyncio.gather(*(nothing(layer, channel, 50 * MS) for channel in both))


async def test_messages_fetched_ahead_expire_too(make_timed: Make) -> None:
    layer = make_timed(expiry=SHORT, capacity=200)
    both = await of_each_kind(layer)
    for channel in both:
        await asyncio.gather(*(layer.send(channel, {"n": n}) for n in range(200)))
        await numbers(layer, channel, 50)
    await asyncio.sleep(AFTER)
    await asyncio.gather(*(nothing(layer, channel) for channel in both))


async def test_a_group_message_expires_for_each_member(make_timed: Make) -> None:
    layer = make_timed(expiry=SHORT)
    read, unread = await layer.new_channel(), await layer.new_channel()
    for channel in (read, unread, "a"):
        await layer.group_add("g", channel)
    await layer.group_send("g", {"n": 0})
    assert await numbers(layer, read, 1) == [0]
    await asyncio.sleep(AFTER)
    await nothing(layer, unread, 50 * MS)
    await nothing(layer, "a", 50 * MS)


async def test_the_expiry_is_the_senders(make: Make) -> None:
    short, long = make(expiry=SHORT), make(expiry=60)
    await short.send("a", {"n": 0})
    await long.send("a", {"n": 1})
    await asyncio.sleep(AFTER)
    assert await numbers(short, "a", 1) == [1]
    await short.send("a", {"n": 2})
    await asyncio.sleep(AFTER)
    await nothing(long, "a", 50 * MS)


async def test_expired_messages_take_no_room(make_timed: Make) -> None:
    layer = make_timed(expiry=SHORT, capacity=3)
    both = await of_each_kind(layer)
    for channel in both:
        await fill(layer, channel)
    await asyncio.sleep(AFTER + 50 * MS)
    for channel in both:
        assert await fill(layer, channel) == 3
        assert await numbers(layer, channel, 3) == [0, 1, 2]


async def test_a_channel_that_is_used_all_the_time_expires_its_oldest(make: Make) -> None:
    layer = make(expiry=SHORT, capacity=4)
    for n in range(4):
        await layer.send("a", {"n": n})
        await asyncio.sleep(90 * MS)
    await layer.send("a", {"n": 4})
    assert await fill(layer, "a") < 4
    left = [message["n"] for message in await drained(layer, "a", 30 * MS)]
    assert left[0] > 0
    assert len(left) <= 4


async def test_the_clock_of_the_client_does_not_matter(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = make(expiry=5)
    monkeypatch.setattr("time.time", lambda: 0.0)
    await layer.send("a", {"n": 0})
    monkeypatch.setattr("time.time", lambda: 4e9)
    await layer.send("a", {"n": 1})
    assert await numbers(layer, "a", 2) == [0, 1]


async def test_expired_messages_are_dropped_in_channels_without_readers(make: Make) -> None:
    layer = make(expiry=SHORT)
    channel = await layer.new_channel()
    await nothing(layer, channel, 20 * MS)
    await fill(layer, channel)
    await asyncio.sleep(AFTER + 50 * MS)
    assert layer._process.mailboxes.kept(channel) == 0
    assert not layer._process.mailboxes._boxes


async def test_an_unused_server_is_empty(make: Make, server: Server) -> None:
    layer = make(expiry=SHORT)
    channel = await layer.new_channel()
    for name in (channel, "a", "other!x"):
        await layer.send(name, {"n": 0})
    assert await received(layer, channel)

    def left() -> list[str]:
        return [key for key in server.all_keys() if not key.endswith(":workers")]

    assert left()
    assert await eventually(lambda: not left()) < allowed(1.1 + AFTER)
