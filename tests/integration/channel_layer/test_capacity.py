from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull

import servicebus
from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import Server

from ...support.channel_tools import (
    Make,
    drained,
    fill,
    numbers,
    received,
)
from ...support.timing import MS, eventually


async def test_a_normal_channel_takes_exactly_its_capacity(make_any: Make) -> None:
    layer = make_any(capacity=3)
    assert await fill(layer, "a") == 3
    assert await fill(layer, "b") == 3
    assert await numbers(layer, "a", 3) == [0, 1, 2]


async def test_a_process_local_channel_takes_exactly_its_capacity(make_any: Make) -> None:
    layer = make_any(capacity=3)
    mine, other = await layer.new_channel(), await layer.new_channel()
    assert await fill(layer, mine) == 3
    assert await fill(layer, other) == 3
    assert await numbers(layer, mine, 3) == [0, 1, 2]


async def test_overflow_is_channels_own_error_and_loses_the_newest(make: Make) -> None:
    layer = make(capacity=1)
    await layer.send("a", {"n": 0})
    with pytest.raises(ChannelFull) as error:
        await layer.send("a", {"n": 1})
    assert isinstance(error.value, servicebus.ChannelFull)
    assert (error.value.channel, error.value.capacity) == ("a", 1)
    assert [message["n"] for message in await drained(layer, "a")] == [0]


@pytest.mark.parametrize("local", [False, True])
async def test_reading_makes_room_for_as_many_as_were_read(make_any: Make, local: bool) -> None:
    layer = make_any(capacity=50)
    channel = await layer.new_channel() if local else "a"
    expected = list(range(await fill(layer, channel)))
    got = []
    for count in (1, 2, 20, 7):
        got += await numbers(layer, channel, count)
        assert await fill(layer, channel) == count
        expected += range(count)
    got += await numbers(layer, channel, 50)
    assert got == expected


async def test_messages_fetched_ahead_count_for_other_processes(make: Make) -> None:
    reader, sender = make(capacity=100), make(capacity=100)
    await fill(sender, "a")
    await numbers(reader, "a", 40)
    assert await fill(sender, "a") <= 40
    assert len(await drained(reader, "a")) <= 100


async def test_capacities_are_globs_and_patterns_and_the_first_match_wins(make_any: Make) -> None:
    rules: dict[str | re.Pattern[str], int] = {
        "http.request": 1,
        "http.*": 2,
        re.compile(r"^websocket.send\!.+"): 3,
        re.compile("pre"): 4,
        "*!narrow": 5,
    }
    layer = make_any(capacity=6, channel_capacity=rules)
    expected = {
        "http.request": 1,
        "http.response": 2,
        "websocket.send!foo": 3,
        "prefix": 4,
        "not-pre": 6,
        f"x.{layer.client_prefix}!narrow": 5,
        f"x.{layer.client_prefix}!wide": 6,
        f"x.{layer.client_prefix}!": 6,
        "http.": 2,
        "https": 6,
    }
    assert {channel: layer.get_capacity(channel) for channel in expected} == expected
    assert {channel: await fill(layer, channel) for channel in expected} == expected
    await layer.flush()


@pytest.mark.parametrize("local", [False, True])
def test_sixty_four_threads_at_once_do_not_exceed_it(make: Make, local: bool) -> None:
    layer = make(capacity=50)
    channel = async_to_sync(layer.new_channel)() if local else "a"

    def send(n: int) -> bool:
        try:
            async_to_sync(layer.send)(channel, {"n": n})
        except ChannelFull:
            return False
        return True

    with ThreadPoolExecutor(64) as pool:
        assert sum(pool.map(send, range(64 * 4))) == 50
    assert len(async_to_sync(drained)(layer, channel)) == 50


async def test_senders_of_many_processes_do_not_exceed_it(make_any: Make) -> None:
    layers = [make_any(capacity=50) for _ in range(4)]
    outcomes = await asyncio.gather(
        *(layer.send("a", {"n": n}) for n in range(64) for layer in layers), return_exceptions=True
    )
    assert outcomes.count(None) == 50
    assert sum(isinstance(outcome, ChannelFull) for outcome in outcomes) == 256 - 50


async def test_a_full_channel_holds_up_no_other_of_its_process(make_any: Make) -> None:
    layer = make_any(capacity=5)
    slow, fast = await layer.new_channel(), await layer.new_channel()
    await fill(layer, slow)
    for n in range(20):
        await layer.send(fast, {"n": n})
        assert (await received(layer, fast))["n"] == n
    with pytest.raises(ChannelFull):
        await layer.send(slow, {"n": 5})


async def test_unread_copies_of_group_messages_count(make: Make, server: Server) -> None:
    layer = make(capacity=5)
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    for n in range(5):
        await layer.group_send("g", {"n": n})
    counts = f"asgi:{{{layer.client_prefix}!}}:counts"
    await eventually(lambda: server.run("HVALS", counts) == [b"5"])
    with pytest.raises(ChannelFull):
        await layer.send(channel, {"n": 5})
    assert await numbers(layer, channel, 5) == list(range(5))
    assert await fill(layer, channel) == 5


async def test_sending_never_waits_for_room(make: Make) -> None:
    layer: RedisChannelLayer = make(capacity=1)
    await layer.send("a", {})
    for _ in range(100):
        with pytest.raises(ChannelFull):
            await asyncio.wait_for(layer.send("a", {}), 1)


async def test_an_element_that_is_not_a_frame_takes_no_capacity(make: Make, server: Server) -> None:
    layer, inbox = make(capacity=2, expiry=3), "asgi:{deadbeef!}"
    server.run("RPUSH", inbox, b"\x92\x00\x01")
    server.run("PEXPIRE", inbox, 5000)
    for _ in range(2):
        await layer.send("specific.deadbeef!x", {"type": "a"})
    for _ in range(3):
        with pytest.raises(ChannelFull):
            await layer.send("specific.deadbeef!x", {"type": "b"})
    assert server.run("HGETALL", f"{inbox}:counts") == [b"specific!x", b"2"]


async def test_sends_at_once_to_a_channel_that_was_just_read_keep_their_order(make: Make) -> None:
    layer = make(capacity=2)
    channel = await layer.new_channel()
    for _ in range(60):
        await layer.send(channel, {"type": "x", "n": 0})
        await layer.send(channel, {"type": "x", "n": 0})
        await asyncio.sleep(5 * MS)
        await numbers(layer, channel, 2)
        await asyncio.gather(layer.send(channel, {"type": "x", "n": 1}), layer.send(channel, {"type": "x", "n": 2}))
        assert await numbers(layer, channel, 2) == [1, 2]


@pytest.mark.parametrize("capacity", [2.5, "3", None])
def test_a_capacity_that_is_not_a_whole_number_is_refused(make: Make, capacity: Any) -> None:
    with pytest.raises(ValueError, match="whole number"):
        make(capacity=capacity)
