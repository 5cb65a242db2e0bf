"""A faulty Channels layer, used as the views and consumers of a site use a layer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from channels.exceptions import ChannelFull
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer

from servicebus.testing.fault_plan import FaultPlan
from servicebus.testing.faulty_channel_layer import FaultyChannelLayer, misbehaving

from ...support.timing import MS


@pytest.fixture
def faults() -> Iterator[FaultPlan]:
    """The fault plan of the layer with the alias ``tests``."""
    before = channel_layers.set("tests", InMemoryChannelLayer(capacity=3))
    with misbehaving("tests") as faults:
        yield faults
    if before is None:
        del channel_layers.backends["tests"]


@pytest.fixture
def layer(faults: FaultPlan) -> FaultyChannelLayer:
    layer = get_channel_layer("tests")
    assert isinstance(layer, FaultyChannelLayer)
    return layer


async def waiting(layer: Any, channel: str) -> list[int]:
    """Receive the numbers of the messages that wait in a channel."""
    found = []
    while True:
        try:
            found.append((await asyncio.wait_for(layer.receive(channel), 50 * MS))["n"])
        except TimeoutError:
            return found


async def test_without_a_rule_the_layer_is_the_wrapped_one(layer: FaultyChannelLayer) -> None:
    assert (layer.capacity, layer.extensions) == (3, ["groups", "flush"])
    channel = await layer.new_channel()
    await layer.group_add("group", channel)
    await layer.send("a", {"n": 1})
    await layer.group_send("group", {"n": 2})
    assert (await waiting(layer, "a"), await waiting(layer, channel)) == ([1], [2])


@pytest.mark.parametrize(("action", "expected"), [("drop", [2]), ("duplicate", [1, 1, 2])])
async def test_a_message_is_dropped_or_duplicated(
    layer: FaultyChannelLayer, faults: FaultPlan, action: str, expected: list[int]
) -> None:
    getattr(faults, action)("a")
    for number in (1, 2):
        await layer.send("a", {"n": number})
    assert await waiting(layer, "a") == expected


async def test_a_delayed_message_is_overtaken_and_keeps_its_content(
    layer: FaultyChannelLayer, faults: FaultPlan
) -> None:
    faults.delay("a", seconds=20 * MS)
    message = {"n": 1}
    await layer.send("a", message)
    message["n"] = 7
    await layer.send("a", {"n": 2})
    await layer.settled()
    assert await waiting(layer, "a") == [2, 1]


async def test_settled_raises_the_error_of_a_delayed_message(layer: FaultyChannelLayer, faults: FaultPlan) -> None:
    faults.delay("a", seconds=5 * MS)
    for number in range(4):
        await layer.send("a", {"n": number})
    with pytest.raises(ChannelFull):
        await layer.settled()


async def test_a_message_is_refused_and_a_group_message_dropped(layer: FaultyChannelLayer, faults: FaultPlan) -> None:
    await layer.group_add("group", "a")
    faults.refuse("a")
    faults.drop("group")
    with pytest.raises(ChannelFull):
        await layer.send("a", {"n": 1})
    await layer.group_send("group", {"n": 2})
    await layer.group_send("group", {"n": 3})
    assert await waiting(layer, "a") == [3]
    assert faults.done == {"refuse": 1, "drop": 1}


def test_after_the_block_the_alias_names_the_former_layer() -> None:
    former = InMemoryChannelLayer()
    before = channel_layers.set("tests", former)
    with misbehaving("tests"):
        assert get_channel_layer("tests") is not former
    assert channel_layers.set("tests", before) is former
    if before is None:
        del channel_layers.backends["tests"]
