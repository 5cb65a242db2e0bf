from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import async_to_sync

from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import Server

from ...support.channel_tools import (
    Make,
    fill,
    nothing,
    numbers,
    received,
)
from ...support.timing import LONG, Stopwatch, allowed


async def test_flush_empties_everything_and_the_layer_stays_usable(layer: RedisChannelLayer) -> None:
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    for name in (channel, "a"):
        await fill(layer, name, 5)
    with Stopwatch() as watch:
        await layer.flush()
    assert watch.seconds < allowed(1.0)
    for name in (channel, "a"):
        await nothing(layer, name, 0.05)
    await layer.group_send("g", {"n": 1})
    await nothing(layer, channel, 0.05)
    await layer.group_add("g", channel)
    await layer.group_send("g", {"n": 2})
    assert await numbers(layer, channel, 1) == [2]


async def test_flush_drops_what_this_process_has_fetched(make_any: Make) -> None:
    layer = make_any(capacity=100)
    channel = await layer.new_channel()
    for name in (channel, "a"):
        await fill(layer, name)
        await numbers(layer, name, 30)
    await layer.flush()
    for name in (channel, "a"):
        await nothing(layer, name)
        assert await fill(layer, name) == 100
    await layer.flush()


async def test_flush_drops_what_other_processes_have_fetched(make_timed: Make) -> None:
    layers = [make_timed() for _ in range(4)]
    channels = [await layer.new_channel() for layer in layers]
    for layer, channel in zip(layers, channels, strict=True):
        await layer.group_add("g", channel)
        await fill(layer, channel)
        await numbers(layer, channel, 3)
    await layers[0].flush()
    for layer, channel in zip(layers, channels, strict=True):
        await nothing(layer, channel, 0.05)
    await layers[0].group_send("g", {"n": 1})
    for layer, channel in zip(layers, channels, strict=True):
        await nothing(layer, channel, 0.05)
        assert await fill(layer, channel) == 100


async def test_receives_that_wait_during_a_flush_go_on_waiting(layer: RedisChannelLayer) -> None:
    channel = await layer.new_channel()
    waiting = [asyncio.ensure_future(layer.receive(name)) for name in (channel, "a")]
    await asyncio.sleep(0.05)
    await layer.flush()
    for name in (channel, "a"):
        await layer.send(name, {"n": 1})
    assert [(await asyncio.wait_for(one, LONG))["n"] for one in waiting] == [1, 1]


async def test_flush_leaves_other_prefixes_alone(make: Make) -> None:
    layer = make(prefix="a")
    others = [make(prefix=prefix) for prefix in ("b", "a:b", "ab", "a*", "[a]")]
    for one in others:
        await one.send("x", {"n": 1})
        await one.group_add("g", "y")
    await layer.flush()
    await others[3].flush()
    for one in (others[0], others[1], others[2], others[4]):
        assert await numbers(one, "x", 1) == [1]
        await one.group_send("g", {"n": 2})
        assert await numbers(one, "y", 1) == [2]


async def test_flush_does_not_wait_for_dead_processes(make: Make, server: Server) -> None:
    server.register("dead!", ttl_ms=5000)
    layer = make()
    with Stopwatch() as watch:
        await layer.flush()
    assert watch.seconds < allowed(0.9)


async def test_many_keys_go_quickly(make: Make) -> None:
    layer = make()
    await asyncio.gather(*(layer.send(f"c{n}", {"n": n}) for n in range(5000)))
    with Stopwatch() as watch:
        await layer.flush()
    assert watch.seconds < allowed(1.0)
    await nothing(layer, "c7", 0.05)


@pytest.mark.parametrize("rounds", [3])
def test_after_use_in_several_loops(make_any: Make, rounds: int) -> None:
    layer = make_any()
    channel = async_to_sync(layer.new_channel)()
    for n in range(rounds):
        async_to_sync(layer.group_add)("g", channel)
        async_to_sync(layer.send)(channel, {"n": n})
        assert async_to_sync(received)(layer, channel)["n"] == n
        async_to_sync(layer.send)(channel, {"n": n})
        with Stopwatch() as watch:
            async_to_sync(layer.flush)()
        assert watch.seconds < allowed(1.0)
    async_to_sync(nothing)(layer, channel)
