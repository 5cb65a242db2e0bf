"""Calls, messages and groups behind Sentinels whose primary fails, hangs, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from servicebus import NoWorkers, Service, ServiceBus, Unavailable
from servicebus.config import Timing
from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import SentinelGroup, Server
from servicebus.testing.servers.server import follows

from ...support.redis_load import (
    Load,
    from_now_on,
    now,
    seconds_of,
)
from ...support.shop import CHANNEL, calling
from ...support.timing import LONG, MS, allowed, eventually


@pytest.fixture
def watched() -> Iterator[SentinelGroup]:
    """A primary and its replica, and one sentinel: where several vote, they may have to vote again."""
    with SentinelGroup(sentinels=1) as group:
        yield group


async def replaced(group: SentinelGroup, before: Server) -> None:
    """Wait until the sentinels name another primary."""
    await eventually(lambda: group.primary is not before, within=LONG)


@pytest.mark.row(18)
async def test_a_killed_primary_comes_back_as_a_replica(
    own_sentinel: SentinelGroup,
) -> None:
    load, first = Load(4), own_sentinel.primary
    async with load.on(own_sentinel.url):
        first.kill()
        await replaced(own_sentinel, first)
        named = now()
        await load.served()
        back = load.back_after(named)
        await first.restart("--replicaof", f"127.0.0.1 {own_sentinel.primary.port}")
        await eventually(lambda: first.role == "slave" and follows(first), within=LONG)
        await load.served()
    assert load.problems() == []
    assert load.errors.total() > 0
    assert back < allowed(1.5), "the wait is that of the sentinels, not ours"


@pytest.mark.row(19)
async def test_a_stopped_primary_is_left_and_does_no_harm_afterwards(
    watched: SentinelGroup,
) -> None:
    load, first = Load(4), watched.primary
    async with load.on(watched.url):
        with first.standing_still():
            await replaced(watched, first)
            named = now()
            await load.served()
            back = load.back_after(named)
            await asyncio.sleep(500 * MS)
        await asyncio.sleep(500 * MS)
        await load.served()
    assert load.problems() == []
    assert load.errors.total() > 0
    assert back < allowed(2.0), "a second for a deadline, half a second to ask, and the time to connect"


@pytest.mark.row(19)
async def test_messages_that_a_promoted_replica_holds_do_not_run_twice(
    own_sentinel: SentinelGroup,
) -> None:
    first, replica = own_sentinel.primary, own_sentinel.replicas[0]
    seen, service = list[int](), Service("shop")

    @service.handler("run")
    async def run(message: dict[str, Any]) -> None:
        seen.append(message["n"])

    async with ServiceBus(own_sentinel.url) as bus, ServiceBus(own_sentinel.url) as worker:
        for n in range(20):
            await bus.send(CHANNEL, {"type": "run", "n": n})
        assert first.run("WAIT", 1, 5000) == 1
        cut_off(first, replica)
        async with worker.serving(service):
            await eventually(lambda: len(seen) == 20)
            first.kill()
            replica.resume()
            await eventually(lambda: worker.counters.fenced_frames == 20, within=LONG)
            await until_taken(lambda: bus.wait_for_workers(CHANNEL))
    assert seen == list(range(20))


async def test_a_consumer_of_channels_gets_nothing_twice_from_a_promoted_replica(own_sentinel: SentinelGroup) -> None:
    first, replica = own_sentinel.primary, own_sentinel.replicas[0]
    layer = RedisChannelLayer([own_sentinel.url])
    local = await layer.new_channel()
    for n in range(5):
        await layer.send("jobs", {"n": n})
    assert first.run("WAIT", 1, 5000) == 1
    cut_off(first, replica)
    assert [(await layer.receive("jobs"))["n"] for _ in range(5)] == list(range(5))
    waiting = [asyncio.create_task(layer.receive(channel)) for channel in ("jobs", local)]
    first.kill()
    replica.resume()
    await replaced(own_sentinel, first)
    await until_taken(lambda: layer.send("jobs", {"n": 5}))
    await until_taken(lambda: layer.send(local, {"n": 6}))
    assert [(await asyncio.wait_for(one, LONG))["n"] for one in waiting] == [5, 6]
    assert layer.counters.poisoned == 5
    await layer.close_pools()


def cut_off(primary: Server, replica: Server) -> None:
    """From now on the replica hears of nothing: neither what it has not read yet, nor what comes."""
    replica.pause()
    primary.run("CLIENT", "KILL", "TYPE", "REPLICA")


async def until_taken(act: Callable[[], Awaitable[Any]]) -> None:
    """Do it again until there is a server that takes it, as long as it certainly was not done."""
    async with asyncio.timeout(LONG):
        while True:
            try:
                await act()
                return
            except (Unavailable, NoWorkers):
                await asyncio.sleep(20 * MS)


async def test_groups_and_presence_outlive_a_failover(own_sentinel: SentinelGroup) -> None:
    layers = [RedisChannelLayer([own_sentinel.url]) for _ in range(2)]
    channels = [await layer.new_channel() for layer in layers]
    heard, service = list[Any](), Service("shop")

    @service.on("placed")
    async def on_placed(event: dict[str, Any]) -> None:
        heard.append(event)

    async with calling(own_sentinel.url, service) as bus:
        for layer, channel in zip(layers, channels, strict=True):
            await layer.group_add("g", channel)
        receiving = [asyncio.create_task(layer.receive(one)) for layer, one in zip(layers, channels, strict=True)]
        await own_sentinel.failover()
        await until_taken(lambda: bus.wait_for_workers(CHANNEL))
        await until_taken(lambda: bus.publish("placed", {}))
        await eventually(lambda: heard == [{}])
        await until_taken(lambda: layers[0].group_send("g", {"type": "hello"}))
        assert [(await asyncio.wait_for(one, LONG))["type"] for one in receiving] == ["hello"] * 2
    await asyncio.gather(*(layer.close_pools() for layer in layers))


async def test_without_a_sentinel_that_knows_the_primary_nothing_is_opened(sentinel: SentinelGroup) -> None:
    port = sentinel.sentinels[0].port
    for url in (f"redis+sentinel://127.0.0.1:{port}/another", "redis+sentinel://127.0.0.1:1/mymaster"):
        with pytest.raises(Unavailable, match="no sentinel"):
            async with ServiceBus(url):
                pass


async def test_a_sentinel_that_hangs_is_passed_over(sentinel: SentinelGroup) -> None:
    with sentinel.sentinels[0].standing_still():
        async with calling(sentinel.url, Service("shop")) as bus:
            await bus.wait_for_workers(CHANNEL)


async def test_closing_while_the_primary_hangs_takes_seconds(own_sentinel: SentinelGroup) -> None:
    layer = RedisChannelLayer([own_sentinel.url])
    await layer.send("jobs", {"n": 1})
    await layer.receive("jobs")
    async with ServiceBus(own_sentinel.url) as worker, worker.serving(Service("shop")):
        await from_now_on()
        for one in own_sentinel.servers:
            one.pause()
        took = await asyncio.gather(*map(seconds_of, (layer.close_pools, worker.close)))
        assert max(took) < allowed(3.5), took
        for one in own_sentinel.servers:
            one.resume()


async def test_a_thousand_calls_at_once_need_two_connections_to_the_primary(sentinel: SentinelGroup) -> None:
    go_on, service = asyncio.Event(), Service("shop")

    def connections() -> list[str]:
        return [name for name in sentinel.primary.clients().values() if name.startswith("tests-")]

    @service.handler("wait")
    async def wait(message: dict[str, Any]) -> None:
        await go_on.wait()

    async with calling(sentinel.url, service, concurrency=1000) as bus:
        calls = [asyncio.create_task(bus.call(CHANNEL, {"type": "wait"}, timeout=LONG)) for _ in range(1000)]
        await eventually(lambda: bus.pending == 1000 and len(connections()) == 2)
        await asyncio.sleep(50 * MS)
        names = connections()
        go_on.set()
        await asyncio.gather(*calls)
    assert len(names) == 2


@pytest.mark.parametrize(
    ("url", "complaint"),
    [("redis+sentinel://:wrong@{}?sentinel_password=two", "WRONGPASS"), ("redis+sentinel://{}", "no sentinel")],
)
async def test_passwords_of_servers_and_of_sentinels_are_needed(
    guarded: SentinelGroup, url: str, complaint: str, patient: Timing
) -> None:
    where = f"127.0.0.1:{guarded.sentinels[0].port}/mymaster"
    async with ServiceBus(guarded.url, timing=patient) as bus:
        await bus.send(CHANNEL, {"type": "run"})
    with pytest.raises(Unavailable, match=complaint) as caught:
        async with ServiceBus(url.format(where), timing=patient):
            pass
    assert "wrong" not in str(caught.value)


@pytest.fixture
def guarded() -> Iterator[SentinelGroup]:
    # Slow to believe that the primary is down: no busy machine may make it so.
    with SentinelGroup(replicas=0, sentinels=1, down_after=10.0, password="one", sentinel_password="two") as group:
        yield group
