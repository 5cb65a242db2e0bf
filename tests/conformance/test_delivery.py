"""What every layer promises of the messages it moves: order, once, not after their time, none lost on the way out."""

from __future__ import annotations

import asyncio
import random

import pytest

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


async def test_messages_arrive_in_the_order_in_which_they_were_sent(layers: Layers) -> None:
    layer = await layers.open()
    reader = Reader(layer, CHANNEL, credit=7)
    for start in range(0, 2000, 50):
        push(layer, CHANNEL, range(start, start + 50))
        await asyncio.sleep(random.choice([0, 0, 0, MS]))
    await reader.has_read(2000)
    assert reader.numbers == list(range(2000))


async def test_messages_of_several_senders_arrive_in_the_order_of_each(layers: Layers) -> None:
    senders = [await layers.open() for _ in range(3)]
    reader = Reader(await layers.open(), CHANNEL)
    for number in range(0, 300, 10):
        for sender, layer in enumerate(senders):
            push(layer, CHANNEL, [(sender, number + step) for step in range(10)])
        await asyncio.sleep(0)
    await reader.has_read(900)
    for sender in range(3):
        assert [number for who, number in reader.numbers if who == sender] == list(range(300))


async def test_two_channels_do_not_disturb_each_other(layers: Layers) -> None:
    layer = await layers.open(channel_capacity={"one": 1})
    one, other = Reader(layer, "one", credit=1, hold=True), Reader(layer, "other")
    push(layer, "one", range(5))
    await pushed(layer, "other", range(100))
    await other.has_read(100)
    assert other.numbers == list(range(100))
    assert set(one.numbers) <= {0}


async def test_each_message_is_delivered_to_one_of_several_consumers(layers: Layers) -> None:
    sender = await layers.open()
    readers = [Reader(await layers.open(), CHANNEL, credit=5) for _ in range(4)]
    readers.append(Reader(sender, CHANNEL, credit=5))
    for start in range(0, 3000, 100):
        push(sender, CHANNEL, range(start, start + 100))
        await asyncio.sleep(0)
    await eventually(lambda: sum(len(reader.frames) for reader in readers) >= 3000)
    await asyncio.sleep(20 * MS)
    assert sorted(number for reader in readers for number in reader.numbers) == list(range(3000))


async def test_messages_that_were_sent_before_any_consumer_existed_are_delivered(layers: Layers) -> None:
    await pushed(await layers.open(), CHANNEL, range(10))
    reader = Reader(await layers.open(), CHANNEL)
    await reader.has_read(10)
    assert reader.numbers == list(range(10))


@pytest.mark.needs(Ability.INBOXES)
async def test_a_message_to_an_inbox_reaches_the_process_that_reads_it(layers: Layers) -> None:
    sender, mine, other = [await layers.open() for _ in range(3)]
    my_inbox, other_inbox = Reader(mine, "4f2a!"), Reader(other, "77cd!")
    await pushed(sender, "4f2a!", [1])
    await pushed(sender, "77cd!", [2])
    await my_inbox.has_read(1)
    await other_inbox.has_read(1)
    assert (my_inbox.numbers, other_inbox.numbers) == ([1], [2])


@pytest.mark.needs(Ability.OPAQUE_FRAMES)
async def test_frames_arrive_as_the_bytes_that_were_sent(layers: Layers) -> None:
    layer = await layers.open()
    reader = Reader(layer, CHANNEL)
    deliveries = [Delivery(layer, CHANNEL, 0) for _ in range(4)]
    for delivery, frame in zip(deliveries, (b"\r\n", b"\0" * 1000, b"$-1\r\n", b"x" * 1_000_000), strict=True):
        delivery.frame = frame
        layer.push(delivery)
    await reader.has_read(4)
    assert reader.frames == [b"\r\n", b"\0" * 1000, b"$-1\r\n", b"x" * 1_000_000]


async def test_credit_is_never_exceeded(layers: Layers) -> None:
    layer = await layers.open()
    reader = Reader(layer, CHANNEL, credit=5, hold=True)
    await pushed(layer, CHANNEL, range(20))
    await reader.has_read(5)
    for done in range(1, 16):
        reader.credit.release()
        await reader.has_read(5 + done)
        await asyncio.sleep(0)
        assert len(reader.frames) <= 5 + done
    assert reader.most_held == 5
    assert reader.numbers == list(range(20))


async def test_a_consumer_without_credit_leaves_messages_to_others(layers: Layers) -> None:
    one, other = await layers.open(), await layers.open()
    stuck = Reader(one, CHANNEL, credit=1, hold=True)
    await pushed(one, CHANNEL, [0])
    await stuck.has_read(1)
    free = Reader(other, CHANNEL)
    await pushed(one, CHANNEL, range(1, 50))
    await free.has_read(49)
    assert stuck.numbers == [0]


async def test_nothing_is_delivered_after_a_consumer_has_stopped(layers: Layers) -> None:
    layer = await layers.open()
    reader = Reader(layer, CHANNEL)
    await reader.consumer.ready()
    await reader.consumer.stop()
    await reader.consumer.stop()
    await pushed(layer, CHANNEL, range(5))
    await asyncio.sleep(10 * MS)
    assert reader.frames == []
    assert await left_in(layer, CHANNEL) == list(range(5))


async def test_stopping_goes_on_when_the_wait_for_it_is_cancelled(layers: Layers) -> None:
    layer = await layers.open()
    reader = Reader(layer, CHANNEL)
    await reader.consumer.ready()
    waiting = asyncio.create_task(reader.consumer.stop())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await reader.consumer.stop()
    await pushed(layer, CHANNEL, [1])
    await asyncio.sleep(10 * MS)
    assert reader.frames == []


async def test_nothing_is_lost_or_doubled_when_consumers_stop_at_random_instants(layers: Layers) -> None:
    layer, other = await layers.open(), await layers.open()
    total, delivered = 4000, list[int]()
    sending = asyncio.create_task(keep_sending(layer, total))
    while not sending.done():
        readers = [Reader(random.choice([layer, other]), CHANNEL, credit=random.choice([1, 3, 50])) for _ in range(2)]
        await asyncio.sleep(random.uniform(0, 6) * MS)
        await asyncio.gather(*(reader.consumer.stop() for reader in readers))
        delivered += [number for reader in readers for number in reader.numbers]
    await sending
    left = await left_in(layer, CHANNEL)
    assert sorted(delivered + left) == list(range(total))


async def keep_sending(layer: Layer, total: int) -> None:
    for start in range(0, total, 20):
        assert await outcomes(push(layer, CHANNEL, range(start, start + 20))) == {None: 20}
        await asyncio.sleep(random.choice([0, 0, MS]))


async def test_an_unread_channel_is_empty_a_second_after_its_messages_expired(
    everywhere: Everywhere,
) -> None:
    async def is_empty(layers: Layers) -> None:
        layer = await layers.open(expiry=0.1)
        await pushed(layer, CHANNEL, range(3))
        await asyncio.sleep(1.15)
        assert await left_in(layer, CHANNEL) == []

    await everywhere.each(is_empty)
