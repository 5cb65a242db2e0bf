"""Who works on a channel and who subscribes to an event, on every layer."""

from __future__ import annotations

import asyncio

import pytest

from servicebus import NoWorkers
from servicebus.layers.layer import Ability

from ..support.timing import (
    MS,
    Stopwatch,
    allowed,
    eventually,
)
from ..support.transport import (
    Everywhere,
    Layers,
    Reader,
    outcomes,
    push,
)

CHANNEL = "shop.request"


@pytest.mark.needs(Ability.PRESENCE)
async def test_a_worker_counts_from_the_moment_it_is_ready_until_it_leaves(layers: Layers) -> None:
    caller, layer = await layers.open(), await layers.open()
    assert await caller.workers(CHANNEL) == 0
    reader = Reader(layer, CHANNEL, worker_id="w1")
    await reader.consumer.ready()
    assert await caller.workers(CHANNEL) == 1
    assert await outcomes(push(caller, CHANNEL, [1], needs_worker=True)) == {None: 1}
    await layer.leave(CHANNEL, "w1")
    assert await caller.workers(CHANNEL) == 0
    assert await outcomes(push(caller, CHANNEL, [2], needs_worker=True)) == {NoWorkers: 1}


async def test_a_worker_that_has_left_still_reads_until_it_is_stopped(layers: Layers) -> None:
    layer = await layers.open()
    reader = Reader(layer, CHANNEL, worker_id="w1")
    await reader.consumer.ready()
    await layer.leave(CHANNEL, "w1")
    push(layer, CHANNEL, [1])
    await reader.has_read(1)


async def test_workers_are_counted_one_by_one(layers: Layers) -> None:
    layer, other = await layers.open(), await layers.open()
    for count, (where, worker_id) in enumerate([(layer, "w1"), (other, "w2"), (other, "w3")], 1):
        await Reader(where, CHANNEL, worker_id=worker_id).consumer.ready()
        assert await layer.workers(CHANNEL) == count
    await other.leave(CHANNEL, "w2")
    await other.leave(CHANNEL, "w2")
    await other.leave(CHANNEL, "never there")
    assert await layer.workers(CHANNEL) == 2
    assert await layer.workers("other.request") == 0


async def test_a_worker_stays_registered_for_longer_than_its_registration_holds(everywhere: Everywhere) -> None:
    async def stays(layers: Layers) -> None:
        layer = await layers.open(presence_ttl=1.0)
        await Reader(layer, CHANNEL, worker_id="w1").consumer.ready()
        for _ in range(12):
            assert await layer.workers(CHANNEL) == 1
            await asyncio.sleep(0.1)

    await everywhere.each(stays)


@pytest.mark.needs(Ability.PRESENCE)
async def test_no_workers_is_reported_within_50_ms(layers: Layers) -> None:
    layer = await layers.open()
    with Stopwatch() as watch:
        assert await outcomes(push(layer, CHANNEL, [1], needs_worker=True)) == {NoWorkers: 1}
    assert watch.seconds < allowed(50 * MS)


@pytest.mark.needs(Ability.SUBSCRIBERS)
async def test_subscribers_are_sorted_and_named_once(layers: Layers) -> None:
    layer, other = await layers.open(), await layers.open()
    for where, channel in [(layer, "b.events"), (other, "a.events"), (layer, "a.events")]:
        await where.subscribe("orders.placed", channel)
    assert await other.subscribers("orders.placed") == ["a.events", "b.events"]
    assert await other.subscribers("orders.rejected") == []


@pytest.mark.needs(Ability.SUBSCRIBERS)
async def test_a_subscription_ends_an_expiry_after_it_was_given_up_on_each_layer(everywhere: Everywhere) -> None:
    """Also when the expiry is shorter than the time after which workers say again that they are there."""

    async def is_kept(layers: Layers) -> None:
        layer = await layers.open(expiry=0.8, presence_ttl=5.0)
        await layer.subscribe("orders.placed", "a.events")
        for _ in range(10):
            assert await layer.subscribers("orders.placed") == ["a.events"]
            await asyncio.sleep(0.1)
        layer.unsubscribe("orders.placed", "a.events")
        assert await layer.subscribers("orders.placed") == ["a.events"]
        await asyncio.sleep(0.85)
        assert await layer.subscribers("orders.placed") == []

    await everywhere.each(is_kept)


@pytest.mark.needs(Ability.SUBSCRIBERS)
async def test_a_subscription_outlives_one_of_two_that_keep_it(everywhere: Everywhere) -> None:
    async def outlives(layers: Layers) -> None:
        layer, other = [await layers.open(expiry=0.8, presence_ttl=1.0) for _ in range(2)]
        await layer.subscribe("orders.placed", "a.events")
        await other.subscribe("orders.placed", "a.events")
        layer.unsubscribe("orders.placed", "a.events")
        await asyncio.sleep(0.9)
        assert await other.subscribers("orders.placed") == ["a.events"]

    await everywhere.each(outlives)


async def test_a_worker_is_present_again_when_it_comes_back(layers: Layers) -> None:
    layer = await layers.open()
    first = Reader(layer, CHANNEL, worker_id="w1")
    await first.consumer.ready()
    await layer.leave(CHANNEL, "w1")
    await first.consumer.stop()
    second = Reader(layer, CHANNEL, worker_id="w1")
    await second.consumer.ready()
    assert await outcomes(push(layer, CHANNEL, [1], needs_worker=True)) == {None: 1}
    await eventually(lambda: second.numbers == [1])
