"""When a layer does not take a message, and what it says then; and how a message is taken back."""

from __future__ import annotations

import asyncio
import random
import re

import pytest

from servicebus import ChannelFull, NoWorkers, Unavailable
from servicebus.layers.layer import Ability, Layer

from ..support.timing import MS, eventually
from ..support.transport import (
    Delivery,
    Everywhere,
    Layers,
    Reader,
    left_in,
    outcomes,
    push,
    pushed,
)

CHANNEL = "shop.request"


@pytest.mark.row(9)
async def test_a_channel_holds_exactly_its_capacity_however_many_push_at_once(layers: Layers) -> None:
    senders = [await layers.open(capacity=100) for _ in range(4)]
    deliveries = [delivery for step in range(16) for layer in senders for delivery in push(layer, CHANNEL, range(step))]
    deliveries += await pushed_by_tasks(senders)
    assert (await outcomes(deliveries))[None] == 100
    assert len(await left_in(await layers.open(capacity=200), CHANNEL)) == 100


async def pushed_by_tasks(senders: list[Layer]) -> list[Delivery]:
    async def one(sender: Layer) -> list[Delivery]:
        await asyncio.sleep(random.uniform(0, 3) * MS)
        return push(sender, CHANNEL, range(3))

    return [delivery for found in await asyncio.gather(*map(one, senders * 16)) for delivery in found]


async def test_a_batch_that_does_not_fit_is_taken_up_to_the_capacity(layers: Layers) -> None:
    layer = await layers.open(capacity=4)
    deliveries = push(layer, CHANNEL, range(10))
    errors = [await delivery.outcome() for delivery in deliveries]
    assert errors[:4] == [None] * 4
    for error in errors[4:]:
        assert isinstance(error, ChannelFull)
        assert (error.channel, error.capacity, error.executed, error.retryable) == (CHANNEL, 4, "no", True)
    assert await left_in(await layers.open(), CHANNEL) == [0, 1, 2, 3]


async def test_a_channel_has_room_again_when_a_message_was_read(layers: Layers) -> None:
    layer = await layers.open(capacity=2)
    assert await outcomes(push(layer, CHANNEL, range(3))) == {None: 2, ChannelFull: 1}
    assert len(await left_in(await layers.open(), CHANNEL)) == 2
    assert await outcomes(push(layer, CHANNEL, range(3))) == {None: 2, ChannelFull: 1}


async def test_the_first_pattern_that_matches_a_whole_name_sets_its_capacity(layers: Layers) -> None:
    capacity = {"shop.*": 1, re.compile(r"shop\.ev"): 7, "*.events": 2, re.compile("b.k$"): 3}
    layer = await layers.open(capacity=4, channel_capacity=capacity)
    for channel, expected in [("shop.request", 1), ("shop.events", 1), ("x.events", 2), ("bok", 3), ("myshop.x", 4)]:
        assert (await outcomes(push(layer, channel, range(10))))[None] == expected, channel


@pytest.mark.needs(Ability.PRESENCE)
async def test_a_message_that_needs_a_worker_is_refused_when_there_is_none(layers: Layers) -> None:
    layer = await layers.open()
    (delivery,) = push(layer, CHANNEL, [1], needs_worker=True)
    error = await delivery.outcome()
    assert isinstance(error, NoWorkers)
    assert (error.channel, error.executed, error.retryable) == (CHANNEL, "no", True)
    assert await left_in(layer, CHANNEL) == []


@pytest.mark.needs(Ability.PRESENCE)
async def test_a_consumer_without_a_worker_id_does_not_count_as_a_worker(layers: Layers) -> None:
    layer = await layers.open()
    await Reader(layer, CHANNEL).consumer.ready()
    assert await layer.workers(CHANNEL) == 0
    assert await outcomes(push(layer, CHANNEL, [1], needs_worker=True)) == {NoWorkers: 1}


async def test_messages_that_need_a_worker_and_others_keep_their_order(layers: Layers) -> None:
    layer = await layers.open()
    reader = Reader(layer, CHANNEL, worker_id="w1")
    await reader.consumer.ready()
    for number in range(60):
        push(layer, CHANNEL, [number], needs_worker=number % 3 == 0)
    await reader.has_read(60)
    assert reader.numbers == list(range(60))


@pytest.mark.needs(Ability.WITHDRAWAL)
async def test_a_queued_message_can_be_taken_back_and_is_never_delivered(layers: Layers) -> None:
    layer, other = await layers.open(), await layers.open()
    deliveries = push(layer, CHANNEL, range(5))
    await outcomes(deliveries)
    assert await layer.withdraw(deliveries[2]) == [deliveries[2]]
    assert await layer.withdraw(deliveries[2]) == []
    assert await left_in(other, CHANNEL) == [0, 1, 3, 4]


async def test_a_message_can_be_taken_back_in_the_tick_in_which_it_was_pushed(layers: Layers) -> None:
    layer = await layers.open()
    deliveries = push(layer, CHANNEL, range(3))
    assert await layer.withdraw(deliveries[1]) == [deliveries[1]]
    await pushed(layer, CHANNEL, [3])
    assert await left_in(layer, CHANNEL) == [0, 2, 3]


async def test_a_delivered_message_cannot_be_taken_back(layers: Layers) -> None:
    layer = await layers.open()
    reader = Reader(layer, CHANNEL)
    (delivery,) = push(layer, CHANNEL, [1])
    await reader.has_read(1)
    assert await layer.withdraw(delivery) == []


@pytest.mark.needs(Ability.WITHDRAWAL)
async def test_withdrawing_takes_back_one_of_two_equal_messages(layers: Layers) -> None:
    layer = await layers.open()
    one, other = Delivery(layer, CHANNEL, 1), Delivery(layer, CHANNEL, 1)
    other.frame = one.frame
    layer.push(one)
    layer.push(other)
    await outcomes([one, other])
    assert await layer.withdraw(one) == [one]
    assert await left_in(layer, CHANNEL) == [1]


@pytest.mark.needs(Ability.WITHDRAWAL)
async def test_withdrawing_takes_back_the_messages_that_are_still_queued(layers: Layers) -> None:
    layer = await layers.open()
    first, rest, other = push(layer, CHANNEL, range(3)), push(layer, CHANNEL, range(3, 9)), push(layer, "other", [9])
    await outcomes([*first, *rest, *other])
    reader = Reader(layer, CHANNEL, credit=3, hold=True)
    await reader.has_read(3)
    await reader.consumer.stop()
    late = push(layer, CHANNEL, [10])
    withdrawn = await layer.withdraw(*first, *rest[::2], *other, *late)
    assert {id(delivery) for delivery in withdrawn} == {id(delivery) for delivery in [*rest[::2], *other, *late]}
    assert await left_in(layer, CHANNEL) == [4, 6, 8]
    assert await layer.withdraw() == []


async def test_a_message_is_either_taken_back_or_delivered(layers: Layers) -> None:
    layer = await layers.open()
    reader = Reader(await layers.open(), CHANNEL, credit=3)
    withdrawn = []
    for number in range(200):
        (delivery,) = push(layer, CHANNEL, [number])
        await asyncio.sleep(random.choice([0, 0, 0.1, 0.3]) * MS)
        if await layer.withdraw(delivery):
            withdrawn.append(number)
    await pushed(layer, CHANNEL, ["end"])
    await eventually(lambda: "end" in reader.numbers)
    assert sorted([*withdrawn, *reader.numbers[:-1]]) == list(range(200))


async def test_messages_pushed_before_the_layer_is_closed_are_sent(layers: Layers) -> None:
    layer, other = await layers.open(), await layers.open()
    deliveries = push(layer, CHANNEL, range(50))
    await layer.close()
    assert await outcomes(deliveries) == {None: 50}
    assert await left_in(other, CHANNEL) == list(range(50))


async def test_a_closed_layer_refuses_messages(layers: Layers) -> None:
    layer = await layers.open()
    await layer.close()
    (delivery,) = push(layer, CHANNEL, [1])
    error = await delivery.outcome()
    assert isinstance(error, Unavailable)
    assert error.executed == "no"


@pytest.mark.parametrize("size", [1, 1000, 60_000])
async def test_many_bytes_can_be_pushed_in_one_tick_before_closing(layers: Layers, size: int) -> None:
    layer, other = await layers.open(), await layers.open()
    deliveries = [Delivery(layer, CHANNEL, [number, "x" * size]) for number in range(200)]
    for delivery in deliveries:
        layer.push(delivery)
    await layer.close()
    assert await outcomes(deliveries) == {None: 200}
    assert [number for number, _ in await left_in(other, CHANNEL)] == list(range(200))


@pytest.mark.needs(Ability.WITHDRAWAL)
async def test_a_message_that_was_taken_back_makes_room_wherever_it_was(layers: Layers) -> None:
    layer, other = await layers.open(capacity=20), await layers.open()
    deliveries = push(layer, CHANNEL, range(20))
    await outcomes(deliveries)
    assert await outcomes(push(layer, CHANNEL, ["too many"])) == {ChannelFull: 1}
    middle = deliveries[3:15:2]
    assert len(await layer.withdraw(*middle)) == len(middle)
    assert await outcomes(push(layer, CHANNEL, range(20, 30))) == {None: len(middle), ChannelFull: 10 - len(middle)}
    expected = [number for number in range(20) if number not in range(3, 15, 2)] + list(range(20, 20 + len(middle)))
    assert await left_in(other, CHANNEL) == expected


@pytest.mark.needs(Ability.WITHDRAWAL)
async def test_a_channel_emptied_by_withdrawal_holds_its_capacity_again(layers: Layers) -> None:
    layer, other = await layers.open(capacity=50), await layers.open()
    for _ in range(3):
        deliveries = push(layer, CHANNEL, range(60))
        assert await outcomes(deliveries) == {None: 50, ChannelFull: 10}
        random.shuffle(deliveries)
        assert len(await layer.withdraw(*deliveries)) == 50
    await pushed(layer, CHANNEL, range(50))
    assert await left_in(other, CHANNEL) == list(range(50))


@pytest.mark.needs(Ability.WITHDRAWAL)
async def test_expired_messages_that_nobody_read_take_no_room(everywhere: Everywhere) -> None:
    """A second after their expiry at the latest, also when a message that has not expired lies behind them.

    A foreign layer, which can take nothing back, has rules of its own.
    """

    async def takes_none(layers: Layers) -> None:
        layer = await layers.open(capacity=10, expiry=1.0)
        deliveries = [Delivery(layer, CHANNEL, number, expiry=1.0) for number in range(9)]
        for delivery in deliveries:
            layer.push(delivery)
        assert await outcomes(deliveries) == {None: 9}
        await asyncio.sleep(0.7)
        late = Delivery(layer, CHANNEL, "late", expiry=60.0)
        layer.push(late)
        assert await outcomes([late]) == {None: 1}
        await asyncio.sleep(1.4)
        assert (await outcomes(push(layer, CHANNEL, range(20))))[None] >= 9

    await everywhere.each(takes_none)
