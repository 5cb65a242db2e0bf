"""What sites of channels_redis suffer from, a test each, over nothing but the channel-layer interface.

``SERVICEBUS_TEST_BACKEND=channels_redis.core.RedisChannelLayer`` runs them on that layer, to see them fail there.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.utils.module_loading import import_string

from servicebus.testing.proxy import proxied
from servicebus.testing.servers import Cluster, Server

from ...support.channel_tools import drained, numbers, received
from ...support.timing import LONG, MS

BACKEND = os.environ.get("SERVICEBUS_TEST_BACKEND", "servicebus.layers.redis.RedisChannelLayer")

New = Callable[..., Any]


@pytest.fixture
async def new(server: Server) -> AsyncIterator[New]:
    """Makes layers of the backend under test."""
    layers: list[Any] = []

    def make(**options: Any) -> Any:
        layers.append(import_string(BACKEND)(**({"hosts": [server.url]} | options)))
        return layers[-1]

    yield make
    for layer in layers:
        await layer.close_pools()


async def test_01_an_idle_receive_goes_on_waiting(new: New) -> None:
    layer = new()
    channels = [await layer.new_channel(), "a"]
    waiting = [asyncio.ensure_future(layer.receive(channel)) for channel in channels]
    await asyncio.sleep(5.5)
    for channel in channels:
        await layer.send(channel, {"n": 1})
    assert [(await asyncio.wait_for(one, LONG))["n"] for one in waiting] == [1, 1]


async def test_02_a_cancelled_receive_loses_nothing(new: New) -> None:
    layer, chance, got = new(capacity=1000), random.Random(1), []
    channel = await layer.new_channel()
    for n in range(300):
        await layer.send(channel, {"n": n})
        task = asyncio.ensure_future(layer.receive(channel))
        await asyncio.sleep(chance.uniform(0, 2 * MS))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled():
            got.append(task.result()["n"])
    got += [message["n"] for message in await drained(layer, channel)]
    assert sorted(got) == list(range(300))


async def test_03_several_workers_of_one_channel_get_each_message_once(new: New) -> None:
    sender, workers = new(capacity=10_000), [new() for _ in range(4)]
    got: list[int] = []

    async def work(layer: Any) -> None:
        while True:
            got.append((await layer.receive("a"))["n"])

    for n in range(1000):
        await sender.send("a", {"n": n})
    working = [asyncio.ensure_future(work(layer)) for layer in workers]
    while len(got) < 1000:
        await asyncio.sleep(20 * MS)
    await asyncio.sleep(200 * MS)
    for one in working:
        one.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    assert Counter(got) == Counter(range(1000))


async def test_04_every_message_is_found_on_its_server(new: New, shards: list[Server]) -> None:
    layer = new(hosts=[one.url for one in shards[:3]])
    for channel in (await layer.new_channel(), "a"):
        for n in range(40):
            await layer.send(channel, {"n": n})
        assert await numbers(layer, channel, 40) == list(range(40))


async def test_05_two_prefixes_do_not_starve_each_other(new: New) -> None:
    layer = new()
    first, second = await layer.new_channel("first"), await layer.new_channel("second")
    waiting = asyncio.ensure_future(layer.receive(first))
    await asyncio.sleep(50 * MS)
    also_waiting = asyncio.ensure_future(layer.receive(second))
    await layer.send(second, {"n": 2})
    assert (await asyncio.wait_for(also_waiting, LONG))["n"] == 2
    await layer.send(first, {"n": 1})
    assert (await asyncio.wait_for(waiting, LONG))["n"] == 1


async def test_06_one_slow_consumer_does_not_fill_the_others(new: New) -> None:
    layer = new(capacity=10)
    slow, fast = await layer.new_channel(), await layer.new_channel()
    for n in range(10):
        await layer.send(slow, {"n": n})
    await layer.send(fast, {"n": 1})
    assert await numbers(layer, fast, 1) == [1]
    assert await numbers(layer, slow, 10) == list(range(10))


async def test_07_what_nobody_reads_is_not_kept(new: New) -> None:
    layer = new(capacity=100, expiry=60)
    channels = [await layer.new_channel() for _ in range(50)]
    last = await layer.new_channel()
    tracemalloc.start()
    try:
        for channel in channels:
            for n in range(100):
                await layer.send(channel, {"n": n, "text": f"{n}" + "x" * 1000})
            await layer.send(last, {"n": 0})
            await numbers(layer, last, 1)
        await layer.flush()
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()


async def test_08_a_dropped_connection_does_not_reach_the_consumer(new: New, server: Server) -> None:
    async with proxied(server.path) as proxy:
        layer, sender = new(hosts=[proxy.url]), new()
        channels = [await layer.new_channel(), "a"]
        waiting = [asyncio.ensure_future(layer.receive(channel)) for channel in channels]
        for _ in range(3):
            await asyncio.sleep(100 * MS)
            proxy.cut()
        await asyncio.sleep(100 * MS)
        for channel in channels:
            await sender.send(channel, {"n": 1})
        try:
            assert [(await asyncio.wait_for(one, LONG))["n"] for one in waiting] == [1, 1]
        finally:
            await layer.close_pools()


async def test_09_a_thousand_sends_at_once_share_a_connection(new: New, server: Server) -> None:
    def connections() -> int:
        return int(server.info("stats")["total_connections_received"])

    layer, before = new(capacity=2000), connections()
    await asyncio.gather(*(layer.send("a", {"n": n}) for n in range(1000)))
    await asyncio.to_thread(lambda: [async_to_sync(layer.send)("b", {"n": n}) for n in range(100)])
    assert connections() - before == 1


async def test_10_a_cluster_is_a_server_like_any_other(new: New, cluster: Cluster) -> None:
    layer = new(hosts=[cluster.url if BACKEND.startswith("servicebus.") else cluster.nodes[0].url])
    channels = [f"a{n}" for n in range(12)] + [await layer.new_channel() for _ in range(3)]
    assert len({cluster.node_of(f"asgi:{{{channel}}}").port for channel in channels}) == 3
    for channel in channels:
        await layer.send(channel, {"n": 1})
        await layer.group_add("g", channel)
    await layer.group_send("g", {"n": 2})
    for channel in channels:
        assert await numbers(layer, channel, 2) == [1, 2]
    await layer.send(channels[0], {"n": 3})
    await layer.flush()
    assert await drained(layer, channels[0]) == []


async def test_11_a_listener_stays_in_its_group(new: New) -> None:
    layer = new(group_expiry=1)
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    waiting = asyncio.ensure_future(layer.receive(channel))
    await asyncio.sleep(2.5)
    await layer.group_send("g", {"n": 1})
    assert (await asyncio.wait_for(waiting, LONG))["n"] == 1


async def test_12_nothing_is_delivered_after_its_expiry(new: New) -> None:
    layer = new(expiry=1)
    await layer.send("a", {"n": 0})
    await asyncio.sleep(0.8)
    await layer.send("a", {"n": 1})
    await asyncio.sleep(0.5)
    assert await numbers(layer, "a", 1) == [1]


async def test_13_a_message_that_cannot_be_read_is_passed_over(new: New) -> None:
    layer, other = new(), new(symmetric_encryption_keys=["another key"])
    await other.send("a", {"n": 0})
    await layer.send("a", {"n": 1})
    assert await numbers(layer, "a", 1) == [1]


async def test_14_equal_messages_are_two(new: New) -> None:
    layer = new()
    for _ in range(2):
        random.seed(1)
        await layer.send("a", {"n": 1})
    assert len(await drained(layer, "a")) == 2


async def test_15_several_loops_receive_at_once(new: New) -> None:
    layer = new()
    first, second = await layer.new_channel(), await layer.new_channel()
    got: list[Any] = []

    def receive() -> None:
        try:
            got.append(asyncio.run(received(layer, second, 2)))
        except (RuntimeError, TimeoutError) as error:
            got.append(error)

    waiting = asyncio.ensure_future(layer.receive(first))
    await asyncio.sleep(50 * MS)
    thread = threading.Thread(target=receive)
    thread.start()
    await asyncio.sleep(100 * MS)
    await layer.send(second, {"n": 2})
    await asyncio.to_thread(thread.join)
    await layer.send(first, {"n": 1})
    assert (await asyncio.wait_for(waiting, LONG))["n"] == 1
    assert got == [{"n": 2}]
