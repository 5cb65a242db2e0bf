"""Calls, messages and groups on a Cluster whose slots move and whose nodes fail."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from servicebus import SendUnknown, Service, ServiceBus, ServiceBusError, Unavailable
from servicebus.config import Timing
from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import Cluster, Server

from ...support.redis_load import (
    Load,
    from_now_on,
    now,
    seconds_of,
)
from ...support.shop import calling, serving_all
from ...support.timing import (
    LAG,
    LONG,
    MS,
    Stopwatch,
    allowed,
    eventually,
)

PRIMARIES = range(3)
TOO_BUSY = 0.25
"""A loop that was later than this says nothing of how long a call takes."""
FAR = LONG
"""A deadline that no call comes near, on a busy machine either: how long one took is asked on its own."""
REGISTERED = 60.0
"""Seconds that a registration holds: longer than a slot moves on a busy machine. It may be refused meanwhile."""


def list_of(channel: str) -> str:
    return f"asgi:{{{channel}}}"


def on(cluster: Cluster, number: int, kind: str = "request") -> str:
    """A channel whose slot a primary has."""
    names = (f"shop{n}.{kind}" for n in range(1000))
    return next(name for name in names if cluster.node_of(list_of(name)) is cluster.primary(number))


def other_than(cluster: Cluster, key: str) -> Any:
    """A primary that does not have the slot of ``key``."""
    return random.choice([one for one in map(cluster.primary, PRIMARIES) if one is not cluster.node_of(key)])


@pytest.fixture(scope="module")
def bare_cluster() -> Iterator[Cluster]:
    """Three primaries whom nobody replaces. Who ends or stops one brings it back."""
    with Cluster(node_timeout=10.0) as started:
        yield started


@pytest.mark.row(20)
async def test_slots_move_and_no_call_or_message_notices(bare_cluster: Cluster, patient: Timing) -> None:
    load = Load(timeout=FAR)
    assert {bare_cluster.node_of(list_of(channel)).port for channel in load.channels} == {
        bare_cluster.primary(number).port for number in PRIMARIES
    }
    async with load.on(bare_cluster.url, REGISTERED, patient) as bus:
        for name in [*load.channels, bus.session.caller.inbox.name] * 2:
            key = list_of(name)
            await bare_cluster.move_slot(bare_cluster.slot_of(key), other_than(bare_cluster, key))
        await load.served()
    assert load.errors == {}
    assert load.slowest() < allowed(1.0) or LAG.worst > TOO_BUSY
    assert load.problems() == []
    assert load.lost() == 0


@pytest.mark.row(20)
async def test_a_manual_failover_costs_only_what_lay_in_the_channels(own_cluster: Cluster, patient: Timing) -> None:
    load = Load(timeout=FAR)
    async with load.on(own_cluster.url, REGISTERED, patient):
        for number in (0, 1):
            await own_cluster.failover(number)
        await load.served()
    # As a rule that is nothing: the readers are quick. Each frame that was dropped is one call, or one message.
    assert set(load.errors) <= {"DeadlineExceeded, maybe"}
    assert load.errors.total() + load.lost() == load.fenced
    assert load.slowest() < allowed(1.0) or LAG.worst > TOO_BUSY
    assert load.problems() == []


@pytest.mark.row(20)
async def test_a_killed_primary_is_replaced_and_nothing_runs_twice(own_cluster: Cluster) -> None:
    load = Load()
    async with load.on(own_cluster.url):
        killed = own_cluster.kill_primary(1)
        back = await back_after_the_replacement(own_cluster, 1, killed, load)
    assert load.problems() == []
    assert load.errors.total() > 0
    assert back < allowed(2.0), "the wait is that of the nodes, not ours"


async def back_after_the_replacement(cluster: Cluster, number: int, before: Server, load: Load) -> float:
    """Wait until another primary has the slots; seconds from then until the last call that failed was made."""
    await eventually(lambda: cluster.primary(number) is not before)
    replaced = now()
    await load.served()
    return load.back_after(replaced)


@pytest.mark.row(20)
async def test_a_stopped_primary_is_replaced_and_its_return_does_no_harm(own_cluster: Cluster) -> None:
    load = Load()
    async with load.on(own_cluster.url):
        hanging = own_cluster.primary(2)
        with hanging.standing_still():
            back = await back_after_the_replacement(own_cluster, 2, hanging, load)
        await asyncio.sleep(500 * MS)
        await load.served()
    assert load.problems() == []
    assert load.errors.total() > 0
    assert back < allowed(2.0)


async def test_what_waits_in_a_channel_moves_with_its_slot(bare_cluster: Cluster, patient: Timing) -> None:
    """A message bears the fence of the primary that took it, and is not taken for one that a replica resurrected."""
    seen, service = list[int](), Service("shop")

    @service.handler("run")
    async def run(message: dict[str, Any]) -> int:
        seen.append(message["n"])
        return len(seen)

    key = list_of(service.request_channel)
    bare_cluster.node_of(key).register(service.request_channel)
    async with ServiceBus(bare_cluster.url) as bus, ServiceBus(bare_cluster.url) as worker:
        for n in range(10):
            await bus.send(service.request_channel, {"type": "run", "n": n})
        call = asyncio.create_task(bus.call(service.request_channel, {"type": "run", "n": 10}, timeout=FAR))
        await eventually(lambda: len(bare_cluster.node_of(key).frames(service.request_channel)) == 11)
        await bare_cluster.move_slot(bare_cluster.slot_of(key), other_than(bare_cluster, key))
        await bus.send(service.request_channel, {"type": "run", "n": 11})
        async with worker.serving(service):
            assert await call == 11
            await eventually(lambda: seen == list(range(12)))


async def test_only_channels_whose_slot_has_no_primary_are_unavailable(bare_cluster: Cluster) -> None:
    dead, living = on(bare_cluster, 2), on(bare_cluster, 0)
    async with calling(bare_cluster.url, *echoing(dead, living)) as bus:
        await bus.gather(*((name, {"type": "echo"}) for name in (dead, living)))
        # Replies come through one slot, and a caller whose inbox has no primary hears of nobody.
        fatal = next(number for number in (2, 0) if bare_cluster.primary(number) is not home_of(bus, bare_cluster))
        dead, living = (dead, living) if fatal == 2 else (living, dead)
        await from_now_on()
        bare_cluster.kill_primary(fatal)
        with pytest.raises((Unavailable, SendUnknown)):
            await bus.call(dead, {"type": "echo"}, timeout=5.0)
        for _ in range(3):
            with Stopwatch() as watch, pytest.raises(Unavailable) as caught:
                await bus.call(dead, {"type": "echo"}, timeout=5.0)
            assert caught.value.executed == "no"
            assert watch.seconds < allowed(1.2)
            assert await bus.call(living, {"type": "echo"}, timeout=10.0) == {"type": "echo"}
    await bare_cluster.nodes[fatal].restart()
    await bare_cluster.settled()


def home_of(bus: ServiceBus, cluster: Cluster) -> Server:
    """The primary of a caller's inbox."""
    return cluster.node_of(list_of(bus.session.caller.inbox.name))


async def test_a_node_that_hangs_from_the_start_is_no_reason_to_wait_for_ever(bare_cluster: Cluster) -> None:
    living, hanging = on(bare_cluster, 0), on(bare_cluster, 2)
    with bare_cluster.primary(2).standing_still():
        async with ServiceBus(bare_cluster.url) as bus:
            await bus.send(living, {"type": "run"})
            with pytest.raises(Unavailable):
                await asyncio.wait_for(bus.send(hanging, {"type": "run"}), 3.0)


async def test_closing_while_a_node_hangs_takes_seconds(bare_cluster: Cluster) -> None:
    channels = [on(bare_cluster, number) for number in PRIMARIES]
    layer = RedisChannelLayer([bare_cluster.url])
    for name in channels:
        await layer.send(f"{name}.layer", {"type": "hello"})
        await layer.receive(f"{name}.layer")
    worker, bus = ServiceBus(bare_cluster.url), ServiceBus(bare_cluster.url)
    async with worker, serving_all(worker, tuple(echoing(*channels)), 10):
        async with bus:
            await bus.gather(*((name, {"type": "echo"}) for name in channels))
            await from_now_on()
            with bare_cluster.nodes[2].standing_still():
                took = await asyncio.gather(*map(seconds_of, (layer.close_pools, bus.close, worker.close)))
    assert max(took) < allowed(3.5), took


async def test_a_thousand_calls_need_one_connection_to_each_node_and_one_more(
    cluster: Cluster,
) -> None:
    go_on, service = asyncio.Event(), Service("shop")

    @service.handler("wait")
    async def wait(message: dict[str, Any]) -> None:
        await go_on.wait()

    async with calling(cluster.url, service, concurrency=1000) as bus:
        calls = [asyncio.create_task(bus.call("shop.request", {"type": "wait"}, timeout=FAR)) for _ in range(1000)]
        await eventually(lambda: bus.pending == 1000)
        await asyncio.sleep(50 * MS)
        names = [name for node in cluster.nodes for name in node.clients().values() if name.startswith("tests-")]
        go_on.set()
        await asyncio.gather(*calls)
    assert 1 <= len(names) <= 2 + len(cluster.nodes)


async def test_a_cluster_behind_the_url_of_one_server_is_said_to_be_one(cluster: Cluster) -> None:
    async with ServiceBus(cluster.primary(0).url) as bus:
        elsewhere = on(cluster, 1)
        for asking in (
            bus.call(elsewhere, {"type": "run"}),
            bus.send(elsewhere, {"type": "run"}),
            bus.workers(elsewhere),
        ):
            with pytest.raises(Unavailable, match=r"this is a Cluster: use redis\+cluster://") as caught:
                await asking
            assert caught.value.executed == "no"


async def test_groups_and_receivers_outlive_a_failover(own_cluster: Cluster) -> None:
    layers = [RedisChannelLayer([own_cluster.url], expiry=10) for _ in range(2)]
    group = next(f"g{n}" for n in range(1000) if own_cluster.node_of(f"asgi:group:{{g{n}}}") is own_cluster.primary(1))
    channels = [await layer.new_channel() for layer in layers] + [on(own_cluster, 1)]
    for layer, channel in zip([*layers, layers[0]], channels, strict=True):
        await layer.group_add(group, channel)
    receiving = [
        asyncio.create_task(layer.receive(name)) for layer, name in zip([*layers, layers[1]], channels, strict=True)
    ]
    await own_cluster.settled()
    own_cluster.kill_primary(1)
    await eventually(lambda: own_cluster.primary(1) is own_cluster.shard(1)[1], within=LONG)
    replaced = now()
    await said_until_heard(layers[0], group, receiving)
    assert [one.result()["type"] for one in receiving] == ["hello"] * 3
    assert now() - replaced < allowed(4.0)
    await asyncio.gather(*(layer.close_pools() for layer in layers))


async def said_until_heard(layer: RedisChannelLayer, group: str, receiving: list[asyncio.Task[Any]]) -> None:
    """Send to a group until all its members are back and have received a message."""
    async with asyncio.timeout(LONG):
        while not all(one.done() for one in receiving):
            with suppress(ServiceBusError):
                await layer.group_send(group, {"type": "hello"})
            await asyncio.wait(receiving, timeout=500 * MS)


def echoing(*channels: str) -> list[Service]:
    """Services that consume the channels."""
    services = [Service(channel.removesuffix(".request")) for channel in channels]

    async def echo(message: dict[str, Any]) -> dict[str, Any]:
        return message

    for service in services:
        service.handler("echo")(echo)
    return services


async def test_a_backlog_moves_with_its_slot_and_is_received_in_order(bare_cluster: Cluster) -> None:
    layer, key = RedisChannelLayer([bare_cluster.url], capacity=500), list_of("jobs")
    for n in range(300):
        await layer.send("jobs", {"n": n})
    await bare_cluster.move_slot(bare_cluster.slot_of(key), other_than(bare_cluster, key))
    found = [(await asyncio.wait_for(layer.receive("jobs"), 5.0))["n"] for _ in range(300)]
    await layer.close_pools()
    assert found == list(range(300))
