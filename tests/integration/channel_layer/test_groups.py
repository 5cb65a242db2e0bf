from __future__ import annotations

import asyncio
import logging
from typing import Any

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
from ...support.timing import LONG, MS, eventually


async def test_every_member_gets_every_message_in_order(layer: RedisChannelLayer) -> None:
    members = [await layer.new_channel() for _ in range(5)]
    for channel in members:
        await layer.group_add("g", channel)
    for n in range(10):
        await layer.group_send("g", {"type": "a", "n": n})
    for channel in members:
        assert await numbers(layer, channel, 10) == list(range(10))


async def test_adding_twice_is_adding_once(layer: RedisChannelLayer) -> None:
    channel = await layer.new_channel()
    for name in (channel, channel, "a", "a"):
        await layer.group_add("g", name)
    await layer.group_send("g", {"n": 1})
    await layer.group_send("g", {"n": 2})
    assert await numbers(layer, channel, 2) == await numbers(layer, "a", 2) == [1, 2]


async def test_discarding_twice_is_not_an_error(layer: RedisChannelLayer) -> None:
    channel = await layer.new_channel()
    for name in (channel, "a"):
        await layer.group_discard("g", name)
        await layer.group_add("g", name)
        await layer.group_discard("g", name)
        await layer.group_discard("g", name)
    await layer.group_send("g", {"n": 1})
    await nothing(layer, channel)
    await nothing(layer, "a")


async def test_one_of_several_members_leaves(layer: RedisChannelLayer) -> None:
    stays, leaves = await layer.new_channel(), await layer.new_channel()
    for channel in (stays, leaves):
        await layer.group_add("g", channel)
    await layer.group_discard("g", leaves)
    await layer.group_send("g", {"n": 1})
    assert await numbers(layer, stays, 1) == [1]
    await nothing(layer, leaves)


async def test_sending_to_an_empty_group_is_not_an_error(layer: RedisChannelLayer) -> None:
    await layer.group_send("nobody", {"type": "a"})


async def test_one_channel_in_many_groups(layer: RedisChannelLayer) -> None:
    channel = await layer.new_channel()
    for n in range(10):
        await layer.group_add(f"g{n}", channel)
    for n in range(10):
        await layer.group_send(f"g{n}", {"n": n})
    assert await numbers(layer, channel, 10) == list(range(10))


async def test_direct_and_group_messages_keep_their_order(layer: RedisChannelLayer) -> None:
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    for n in range(0, 20, 2):
        await layer.send(channel, {"n": n})
        await layer.group_send("g", {"n": n + 1})
    assert await numbers(layer, channel, 20) == list(range(20))


async def test_members_of_other_processes_and_normal_channels(make_any: Make) -> None:
    sender, first, second = make_any(), make_any(), make_any()
    channels = [await first.new_channel(), await second.new_channel(), "a"]
    await first.group_add("g", channels[0])
    await second.group_add("g", channels[1])
    await second.group_add("g", channels[2])
    await sender.group_send("g", {"n": 1})
    for layer, channel in zip((first, second, sender), channels, strict=True):
        assert await numbers(layer, channel, 1) == [1]


async def test_a_process_adds_and_discards_the_channels_of_another(make_any: Make) -> None:
    owner, other = make_any(), make_any()
    channel = await owner.new_channel()
    await other.group_add("g", channel)
    await other.group_send("g", {"n": 1})
    assert await numbers(owner, channel, 1) == [1]
    await other.group_add("g", channel)
    await owner.group_send("g", {"n": 2})
    assert await numbers(owner, channel, 1) == [2]
    await other.group_discard("g", channel)
    await other.group_send("g", {"n": 3})
    await nothing(owner, channel)
    await owner.group_add("g", channel)
    await other.group_discard("g", channel)
    await owner.group_discard("g", channel)


async def test_a_group_stores_one_copy_for_all_members_of_a_process(make: Make, server: Server) -> None:
    layer = make(capacity=1000)
    for _ in range(200):
        await layer.group_add("g", await layer.new_channel())
    server.run("CONFIG", "RESETSTAT")
    await layer.group_send("g", {"type": "a"})
    assert server.info("commandstats")["cmdstat_rpush"].startswith("calls=1,")


async def test_only_a_full_member_misses_the_newest_group_message(
    make_any: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    drops: list[tuple[str, str]] = []
    layer = make_any(capacity=5, on_group_drop=lambda group, channel: drops.append((group, channel)))
    slow, fast = await layer.new_channel(), await layer.new_channel()
    for channel in (slow, fast, "a"):
        await layer.group_add("g", channel)
    for n in range(8):
        await layer.group_send("g", {"n": n})
        assert await numbers(layer, fast, 1) == [n]
    assert await numbers(layer, slow, 5) == await numbers(layer, "a", 5) == [0, 1, 2, 3, 4]
    assert layer.counters.group_drops == 6
    assert sorted(set(drops)) == sorted([("g", slow), ("g", "a")])
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record for record in caplog.records if "full" in record.message]


async def test_an_error_of_on_group_drop_is_logged(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    def fails(group: str, channel: str) -> None:
        raise RuntimeError("no")

    layer = make(capacity=1, on_group_drop=fails)
    await layer.group_add("g", "a")
    await layer.group_send("g", {})
    await layer.group_send("g", {})
    assert layer.counters.group_drops == 1
    assert "on_group_drop raised" in caplog.text


async def test_capacities_of_members_are_their_own(make_timed: Make) -> None:
    layer = make_timed(capacity=5, channel_capacity={"narrow.*": 2})
    wide, narrow = await layer.new_channel(), await layer.new_channel("narrow")
    for channel in (wide, narrow):
        await layer.group_add("g", channel)
    for n in range(8):
        await layer.group_send("g", {"n": n})
    assert [len(await drained(layer, channel)) for channel in (wide, narrow)] == [5, 2]


async def test_a_membership_ends_with_group_expiry(make_timed: Make) -> None:
    layer = make_timed(group_expiry=300 * MS)
    channel = await layer.new_channel()
    for name in (channel, "a"):
        await layer.group_add("g", name)
    await asyncio.sleep(450 * MS)
    await layer.group_send("g", {"n": 1})
    await nothing(layer, channel)
    await nothing(layer, "a")


async def test_adding_again_makes_a_membership_young_again(make_timed: Make) -> None:
    layer = make_timed(group_expiry=1500 * MS)
    channel = await layer.new_channel()
    for _ in range(2):
        for name in (channel, "a"):
            await layer.group_add("g", name)
        await asyncio.sleep(900 * MS)
    await layer.group_send("g", {"n": 1})
    assert await numbers(layer, channel, 1) == await numbers(layer, "a", 1) == [1]


async def test_a_channel_with_a_consumer_stays_a_member_for_ever(make_timed: Make) -> None:
    layer = make_timed(group_expiry=300 * MS)
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    listening = asyncio.ensure_future(layer.receive(channel))
    await asyncio.sleep(700 * MS)
    await layer.group_send("g", {"n": 1})
    assert (await asyncio.wait_for(listening, LONG))["n"] == 1


async def test_a_dead_members_group_is_forgotten(make: Make, server: Server) -> None:
    layer = make(group_expiry=300 * MS)
    await layer.group_add("g", await layer.new_channel())
    assert layer._process.table
    await eventually(lambda: not layer._process.table)
    await eventually(lambda: not [key for key in server.all_keys() if "group" in key])


async def test_a_process_that_only_seemed_dead_comes_back(make: Make, server: Server) -> None:
    layer, other = make(), make()
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    server.run("DEL", f"asgi:{{{layer.client_prefix}!}}:workers")
    await other.group_send("g", {"n": 1})
    await eventually(lambda: bool(server.run("ZCARD", "asgi:group:{g}")))
    server.register(f"{layer.client_prefix}!", ttl_ms=2000)
    await other.group_send("g", {"n": 2})
    assert await numbers(layer, channel, 1) == [2]


async def test_a_message_in_no_group_is_in_no_group(make: Make) -> None:
    one, two = make(prefix="one"), make(prefix="two")
    channel = await one.new_channel()
    await one.group_add("g", channel)
    await two.group_send("g", {"n": 1})
    await nothing(one, channel)


async def test_a_hundred_members_with_prefixes_of_their_own_on_ten_servers(make_sharded: Make) -> None:
    layer: Any = make_sharded()
    channels = [await layer.new_channel(prefix=f"user{n}") for n in range(100)]
    async with asyncio.timeout(LONG):
        for channel in channels:
            await layer.group_add("g", channel)
        await layer.group_send("g", {"n": 7})
        for channel in channels:
            assert await received(layer, channel) == {"n": 7}


async def test_members_on_ten_servers_of_twenty_processes(make_sharded: Make) -> None:
    layers: list[Any] = [make_sharded() for _ in range(20)]
    channels = [await layer.new_channel() for layer in layers]
    normal = [f"normal{n}" for n in range(20)]
    for layer, channel, name in zip(layers, channels, normal, strict=True):
        await layer.group_add("g", channel)
        await layer.group_add("g", name)
    await layers[0].group_send("g", {"n": 7})
    for layer, channel, name in zip(layers, channels, normal, strict=True):
        assert await numbers(layer, channel, 1) == await numbers(layer, name, 1) == [7]


async def test_a_group_with_a_full_normal_channel_raises_nothing(make_any: Make) -> None:
    layer = make_any(capacity=2)
    await fill(layer, "a")
    await layer.group_add("g", "a")
    await layer.group_send("g", {"n": 9})
    assert await numbers(layer, "a", 2) == [0, 1]
