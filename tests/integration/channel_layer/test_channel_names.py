from __future__ import annotations

import random
import re
from typing import Any

import pytest

from servicebus.layers.redis import RedisChannelLayer

from ...support.channel_tools import Make, received

BAD_CHANNELS: list[Any] = ["", "a b", "å", "a!b!c", "a/b", "x" * 100, "!a", "a:b", "a#b", b"bytes", None, 5, ["a"], {}]
GOOD_CHANNELS = ["a", "A-b_c.9", "x" * 99, "test!", "http.request", "-", "."]
BAD_GROUPS: list[Any] = ["", "a b", "å", "a!b", "a/b", "x" * 100, b"bytes", None, 5, ["a"]]


@pytest.mark.parametrize("name", BAD_CHANNELS, ids=repr)
async def test_a_bad_channel_name_is_a_type_error(plain: RedisChannelLayer, name: Any) -> None:
    for attempt in (
        plain.send(name, {"type": "a"}),
        plain.receive(name),
        plain.group_add("g", name),
        plain.group_discard("g", name),
    ):
        with pytest.raises(TypeError):
            await attempt


@pytest.mark.parametrize("name", BAD_GROUPS, ids=repr)
async def test_a_bad_group_name_is_a_type_error(plain: RedisChannelLayer, name: Any) -> None:
    for attempt in (
        plain.group_send(name, {"type": "a"}),
        plain.group_add(name, "a"),
        plain.group_discard(name, "a"),
    ):
        with pytest.raises(TypeError):
            await attempt


@pytest.mark.parametrize("name", [name for name in GOOD_CHANNELS if "!" not in name])
async def test_a_good_channel_name_is_taken(plain: RedisChannelLayer, name: str) -> None:
    await plain.send(name, {"type": "a"})
    assert await received(plain, name) == {"type": "a"}
    await plain.group_add(name, name)
    await plain.group_send(name, {"type": "b"})
    assert await received(plain, name) == {"type": "b"}


async def test_any_process_may_send_to_a_process_local_name(plain: RedisChannelLayer) -> None:
    for name in ("test!", "test!x", "a.b.c!d-e_f.9"):
        await plain.send(name, {"type": "a"})
    await plain.flush()


async def test_new_channel_needs_no_server(make: Make) -> None:
    layer = make(hosts=[("nowhere.invalid", 1)])
    assert re.fullmatch(f"specific\\.{layer.client_prefix}![0-9a-f]{{32}}", await layer.new_channel())


@pytest.mark.parametrize("prefix", ["specific", "http.response", "x", "a-b_c.9", "websocket.send"])
async def test_any_prefix_makes_a_channel(layer: RedisChannelLayer, prefix: str) -> None:
    channel = await layer.new_channel(prefix=prefix)
    assert channel.startswith(f"{prefix}.{layer.client_prefix}!")
    assert layer.require_valid_channel_name(channel)
    await layer.send(channel, {"type": "a"})
    assert await received(layer, channel) == {"type": "a"}


async def test_names_do_not_depend_on_the_seed(make: Make) -> None:
    layer = make()
    names, prefixes = set(), set()
    for _ in range(20):
        random.seed(1)
        names.add(await layer.new_channel())
        random.seed(1)
        prefixes.add(RedisChannelLayer().client_prefix)
    assert len(names) == len(prefixes) == 20


async def test_a_channel_of_another_process_is_an_assertion_error(make_any: Make) -> None:
    mine, theirs = make_any(), make_any()
    for channel in (await theirs.new_channel(), "test!", "test!x", f"a.{theirs.client_prefix}!"):
        with pytest.raises(AssertionError):
            await mine.receive(channel)


async def test_every_form_of_an_own_channel_is_received_from(layer: RedisChannelLayer) -> None:
    client = layer.client_prefix
    for channel in (f"a.{client}!b", f"a.{client}!", f"a.b.c.{client}!b.c_d", f"{client}!b"):
        await layer.send(channel, {"type": channel})
        assert await received(layer, channel) == {"type": channel}
