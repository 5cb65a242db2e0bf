"""What a channel holds, and in which order, however many send at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from servicebus import ChannelFull, Service, ServiceBus
from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import Server

from ...support.channel_tools import drained
from ...support.faults.local import served
from ...support.faults.record import Figures
from ...support.faults.sizes import sized
from ...support.timing import eventually

CHANNEL = "shop.request"
SENDERS = 64
CAPACITY = 100
EACH = 50
IN_FLIGHT = 20


@pytest.fixture
async def buses(server: Server) -> AsyncIterator[list[ServiceBus]]:
    """64 senders with a connection each."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ServiceBus(server.url, capacity=CAPACITY)) for _ in range(SENDERS)]


@pytest.fixture
async def layers(server: Server) -> AsyncIterator[list[RedisChannelLayer]]:
    found = [RedisChannelLayer(hosts=[server.url], capacity=CAPACITY) for _ in range(SENDERS)]
    yield found
    for layer in found:
        await layer.close()


@pytest.mark.row(9)
async def test_64_senders_fill_a_channel_to_exactly_its_capacity(
    server: Server, buses: list[ServiceBus], figures: Figures
) -> None:
    async def send(bus: ServiceBus) -> int:
        sends = [bus.send(CHANNEL, {"type": "run"}) for _ in range(EACH)]
        outcomes = await asyncio.gather(*sends, return_exceptions=True)
        assert all(outcome is None or isinstance(outcome, ChannelFull) for outcome in outcomes)
        return outcomes.count(None)

    taken = sum(await asyncio.gather(*map(send, buses)))
    held = len(server.frames(CHANNEL))
    figures(9, f"{SENDERS} senders, {SENDERS * EACH:,} messages: {taken} taken, {held} held")
    assert (taken, held) == (CAPACITY, CAPACITY)


@pytest.mark.row(9)
async def test_64_senders_to_a_group_fill_its_members_to_exactly_their_capacity(
    layers: list[RedisChannelLayer], figures: Figures
) -> None:
    reader = layers[0]
    members = ["a", "b", await reader.new_channel(), await reader.new_channel()]
    for member in members:
        await reader.group_add("g", member)

    async def send(layer: RedisChannelLayer) -> None:
        for n in range(EACH):
            await layer.group_send("g", {"type": "run", "n": n})

    await asyncio.gather(*map(send, layers))
    held = [len(await drained(reader, member)) for member in members]
    figures(9, f"{SENDERS} senders, {SENDERS * EACH:,} messages to a group: its members held {held}")
    assert held == [CAPACITY] * len(members)


@pytest.mark.row(10)
async def test_of_64_senders_each_is_heard_in_the_order_in_which_it_sent(server: Server, figures: Figures) -> None:
    """The suite sends 64,000 messages, a long run a million: no history of lines is kept, only who was heard last."""
    count = sized(64_000, 1_000_000) // SENDERS
    last, inversions = Counter[int](), Counter[int]()
    service, heard = Service("shop"), Counter[int]()

    @service.handler("run")
    async def run(message: dict[str, Any]) -> None:
        sender, n = message["sender"], message["n"]
        inversions[sender] += n < last[sender]
        last[sender] = n
        heard[sender] += 1

    async def has_heard(sender: int, number: int) -> None:
        """The channel has room for a hundred messages of each."""
        await eventually(lambda: heard[sender] >= number, within=30.0)

    async def send(bus: ServiceBus, sender: int) -> None:
        for first in range(1, count + 1, IN_FLIGHT):
            chunk = range(first, min(first + IN_FLIGHT, count + 1))
            await asyncio.gather(*(bus.send(CHANNEL, {"type": "run", "sender": sender, "n": n}) for n in chunk))
            await has_heard(sender, first - 1)

    async with AsyncExitStack() as stack, served(server.url, service):
        senders = [await stack.enter_async_context(ServiceBus(server.url)) for _ in range(SENDERS)]
        await asyncio.gather(*(send(bus, number) for number, bus in enumerate(senders)))
        await eventually(lambda: heard.total() == count * SENDERS, within=30.0)
    figures(10, f"{heard.total():,} messages of {SENDERS} senders: {inversions.total()} inversions")
    assert inversions.total() == 0
