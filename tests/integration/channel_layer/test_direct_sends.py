"""A message to a consumer of the same process that waits is handed over directly: nothing may come out of order."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

import pytest

from servicebus import SendUnknown, Unavailable
from servicebus.layers.redis import RedisChannelLayer
from servicebus.protocol.credit import Credit
from servicebus.testing.servers import Server

from ...support.channel_tools import Make, numbers, received
from ...support.timing import LONG, MS, eventually

ROUNDS = 200


async def waiting(layer: RedisChannelLayer, channel: str) -> asyncio.Task[dict[str, int]]:
    """A consumer that waits already, on an inbox that is read."""
    await layer.send(channel, {"n": -1})
    await received(layer, channel)
    task: asyncio.Task[dict[str, int]] = asyncio.create_task(layer.receive(channel))
    await asyncio.sleep(0)
    return task


async def test_a_consumer_that_waits_here_needs_no_server(own_server: Server, make: Make) -> None:
    layer = make(hosts=[own_server.url])
    channel = await layer.new_channel()
    consumer = await waiting(layer, channel)
    with own_server.standing_still():
        await layer.send(channel, {"n": 1})
        assert await asyncio.wait_for(consumer, 1000 * MS) == {"n": 1}


async def test_a_message_that_no_receive_waits_for_stays_on_the_server(own_server: Server, make: Make) -> None:
    layer = make(hosts=[own_server.url])
    channel = await layer.new_channel()
    consumer = await waiting(layer, channel)
    own_server.kill()
    await layer.send(channel, {"n": 1})
    assert await consumer == {"n": 1}
    with pytest.raises((Unavailable, SendUnknown)):
        await layer.send(channel, {"n": 2})


async def test_a_message_does_not_overtake_one_to_the_group(layer: RedisChannelLayer) -> None:
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    consumer = asyncio.create_task(numbers(layer, channel, 2 * ROUNDS))
    for number in range(0, 2 * ROUNDS, 2):
        await layer.group_send("g", {"n": number})
        await layer.send(channel, {"n": number + 1})
    assert await consumer == list(range(2 * ROUNDS))


async def test_a_message_does_not_overtake_one_that_the_server_still_has(plain: RedisChannelLayer) -> None:
    channel = await plain.new_channel()
    await plain.group_add("g", channel)
    consumer = asyncio.create_task(numbers(plain, channel, 3))
    engine = plain._process.engine
    assert engine is not None
    credit = engine.inbox.reader.credit
    await engine.io_thread.run(partial(hold_back, credit))
    await plain.group_send("g", {"n": 0})  # taken by the pop that runs already; there is no next one
    await eventually(lambda: plain._process.in_flight.is_empty)
    await plain.group_send("g", {"n": 1})
    await plain.send(channel, {"n": 2})
    await engine.io_thread.run(partial(let_go, credit))
    assert await consumer == [0, 1, 2]


async def hold_back(credit: Credit) -> None:
    """Leave credit for what the running pop brings, and none for another pop."""
    credit.take(credit.most - 1)
    credit.change(1)


async def let_go(credit: Credit) -> None:
    """Undo ``hold_back``."""
    credit.change(credit.most)
    credit.release(credit.most - 1)


async def test_messages_of_one_sender_stay_in_order_whichever_way_they_go(layer: RedisChannelLayer) -> None:
    """A consumer that pauses now and then has some of them wait on the server."""
    channel = await layer.new_channel()

    async def consume() -> list[int]:
        found: list[int] = []
        for number in range(ROUNDS):
            found.append((await received(layer, channel))["n"])
            await asyncio.sleep(0 if number % 7 else 2 * MS)
        return found

    consumer = asyncio.create_task(consume())
    for number in range(ROUNDS):
        await layer.send(channel, {"n": number})
        await asyncio.sleep(0 if number % 5 else 1 * MS)
    assert await consumer == list(range(ROUNDS))


async def test_concurrent_sends_of_one_loop_stay_in_order(layer: RedisChannelLayer) -> None:
    channel = await layer.new_channel()
    await layer.send(channel, {"n": -1})
    await received(layer, channel)
    consumer = asyncio.create_task(numbers(layer, channel, ROUNDS // 2))
    await asyncio.sleep(0)
    await asyncio.gather(*(layer.send(channel, {"n": number}) for number in range(ROUNDS // 2)))
    assert await consumer == list(range(ROUNDS // 2))


async def test_a_message_that_was_handed_to_a_cancelled_receive_goes_to_the_next(plain: RedisChannelLayer) -> None:
    channel = await plain.new_channel()
    for number in range(ROUNDS):
        consumer = await waiting(plain, channel)
        await plain.send(channel, {"n": number})
        consumer.cancel()
        await asyncio.gather(consumer, return_exceptions=True)
        assert await received(plain, channel) == {"n": number}


async def test_the_sender_may_change_its_message_afterwards(plain: RedisChannelLayer) -> None:
    channel = await plain.new_channel()
    consumer = await waiting(plain, channel)
    message = {"n": 1}
    await plain.send(channel, message)
    message["n"] = 2
    assert await consumer == {"n": 1}


async def test_when_all_has_arrived_the_direct_way_is_open_again(plain: RedisChannelLayer) -> None:
    channel = await plain.new_channel()
    await plain.group_add("g", channel)
    consumer = asyncio.create_task(numbers(plain, channel, 10))
    for number in range(10):
        await plain.group_send("g", {"n": number})
    await consumer
    await eventually(lambda: plain._process.in_flight.is_empty)


async def test_a_refused_message_does_not_close_it(make: Make) -> None:
    layer = make(capacity=1)
    channel = await layer.new_channel()
    results = await asyncio.gather(*(layer.send(channel, {"n": n}) for n in range(5)), return_exceptions=True)
    assert sum(result is None for result in results) == 1
    await received(layer, channel)
    await eventually(lambda: layer._process.in_flight.is_empty)


async def test_messages_stay_in_order_while_the_layer_is_flushed(make: Make) -> None:
    layer, other = make(), make()
    channel = await layer.new_channel()
    await other.send("elsewhere", {"n": 0})
    for number in range(20):
        found: list[int] = []

        async def consume(found: list[int] = found) -> None:
            while True:
                found.append((await layer.receive(channel))["n"])

        consumer = await waiting(layer, channel)
        consumer.cancel()
        consuming = asyncio.create_task(consume())
        flushing = asyncio.create_task((other if number % 2 else layer).flush())
        for n in range(60):
            await layer.send(channel, {"n": n})
        await flushing
        await asyncio.sleep(10 * MS)
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)
        assert found == sorted(set(found))


async def test_messages_lost_in_an_outage_bar_the_direct_way_for_one_expiry(own_server: Server, make: Make) -> None:
    layer = make(hosts=[own_server.url], expiry=1)
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    consumer = await waiting(layer, channel)
    own_server.kill()
    for number in range(20):
        with contextlib.suppress(Unavailable, SendUnknown):
            await layer.group_send("g", {"n": number})
    consumer.cancel()
    await own_server.restart()

    async def is_open() -> bool:
        """In spite of messages that go through the server all the time."""
        with contextlib.suppress(Unavailable, SendUnknown):
            await layer.send(channel, {"n": 0})
            await received(layer, channel)
        return layer._process.in_flight.is_empty

    async with asyncio.timeout(LONG):
        while not await is_open():
            await asyncio.sleep(50 * MS)


@pytest.mark.parametrize("first", [0, 1])
async def test_receives_that_are_cancelled_together_give_back_in_order(plain: RedisChannelLayer, first: int) -> None:
    channel = await plain.new_channel()
    consumer = await waiting(plain, channel)
    consumers = [consumer, asyncio.create_task(plain.receive(channel))]
    await asyncio.sleep(0)
    await plain.send(channel, {"n": 1})
    await plain.send(channel, {"n": 2})
    for one in (consumers[first], consumers[1 - first]):
        one.cancel()
    await asyncio.gather(*consumers, return_exceptions=True)
    assert await numbers(plain, channel, 2) == [1, 2]


@pytest.mark.parametrize("name", ["jobs", "specific!"])
async def test_sends_at_once_on_a_new_layer_keep_their_order(server: Server, name: str) -> None:
    for _ in range(10):
        layer = RedisChannelLayer([server.url], capacity=1000)
        channel = name if "!" not in name else await layer.new_channel()
        await asyncio.gather(*(layer.send(channel, {"n": n}) for n in range(200)))
        assert [(await layer.receive(channel))["n"] for _ in range(200)] == list(range(200))
        await layer.close_pools()
