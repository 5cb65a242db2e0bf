"""The harness around a Channels layer, as the views and consumers of a site see it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from channels.exceptions import ChannelFull
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer

from servicebus.testing.fault_plan import Mischief
from servicebus.testing.faulty_channel_layer import HarnessChannelLayer, misbehaving

from ...support.timing import MS


@pytest.fixture
def mischief() -> Iterator[Mischief]:
    """Orders for the layer of the alias ``tests``."""
    before = channel_layers.set("tests", InMemoryChannelLayer(capacity=3))
    with misbehaving("tests") as mischief:
        yield mischief
    if before is None:
        del channel_layers.backends["tests"]


@pytest.fixture
def layer(mischief: Mischief) -> HarnessChannelLayer:
    layer = get_channel_layer("tests")
    assert isinstance(layer, HarnessChannelLayer)
    return layer


async def waiting(layer: Any, channel: str) -> list[int]:
    """What can be received at once."""
    found = []
    while True:
        try:
            found.append((await asyncio.wait_for(layer.receive(channel), 50 * MS))["n"])
        except TimeoutError:
            return found


async def test_without_an_order_it_is_the_layer_itself(layer: HarnessChannelLayer) -> None:
    assert (layer.capacity, layer.extensions) == (3, ["groups", "flush"])
    channel = await layer.new_channel()
    await layer.group_add("group", channel)
    await layer.send("a", {"n": 1})
    await layer.group_send("group", {"n": 2})
    assert (await waiting(layer, "a"), await waiting(layer, channel)) == ([1], [2])


@pytest.mark.parametrize(("act", "expected"), [("drop", [2]), ("duplicate", [1, 1, 2])])
async def test_a_message_is_lost_or_doubled(
    layer: HarnessChannelLayer, mischief: Mischief, act: str, expected: list[int]
) -> None:
    getattr(mischief, act)("a")
    for number in (1, 2):
        await layer.send("a", {"n": number})
    assert await waiting(layer, "a") == expected


async def test_a_delayed_message_is_overtaken_and_stays_what_it_was(
    layer: HarnessChannelLayer, mischief: Mischief
) -> None:
    mischief.delay("a", seconds=20 * MS)
    message = {"n": 1}
    await layer.send("a", message)
    message["n"] = 7
    await layer.send("a", {"n": 2})
    await layer.settled()
    assert await waiting(layer, "a") == [2, 1]


async def test_a_delayed_message_that_finds_its_channel_full_is_not_forgotten(
    layer: HarnessChannelLayer, mischief: Mischief
) -> None:
    mischief.delay("a", seconds=5 * MS)
    for number in range(4):
        await layer.send("a", {"n": number})
    with pytest.raises(ChannelFull):
        await layer.settled()


async def test_a_full_channel_refuses_and_a_group_message_may_go_astray(
    layer: HarnessChannelLayer, mischief: Mischief
) -> None:
    await layer.group_add("group", "a")
    mischief.refuse("a")
    mischief.drop("group")
    with pytest.raises(ChannelFull):
        await layer.send("a", {"n": 1})
    await layer.group_send("group", {"n": 2})
    await layer.group_send("group", {"n": 3})
    assert await waiting(layer, "a") == [3]
    assert mischief.done == {"refuse": 1, "drop": 1}


def test_after_the_block_the_site_has_its_layer_back() -> None:
    own = InMemoryChannelLayer()
    before = channel_layers.set("tests", own)
    with misbehaving("tests"):
        assert get_channel_layer("tests") is not own
    assert channel_layers.set("tests", before) is own
    if before is None:
        del channel_layers.backends["tests"]
