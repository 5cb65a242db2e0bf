"""What sites change about a layer: its serializer, its capacities, its names, and copies of it."""

from __future__ import annotations

import asyncio
import copy
import enum
import gc
import logging
import pickle
import random
import uuid
from collections.abc import Iterator
from typing import Any

import channels.exceptions
import msgpack
import pytest
from channels.exceptions import ChannelFull
from channels_redis.serializers import MsgPackSerializer, registry

from servicebus import ConfigurationError
from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import Server

from ...support.channel_tools import (
    Make,
    fill,
    numbers,
    received,
)
from ...support.timing import eventually


class WithIds(RedisChannelLayer):
    """Carries UUIDs, as sites do that override what channels_redis has for that."""

    def serialize(self, message: dict[str, Any]) -> bytes:
        packed: bytes = msgpack.packb(message, default=lambda value: msgpack.ExtType(1, value.bytes))
        return packed

    def deserialize(self, message: bytes) -> dict[str, Any]:
        unpacked: dict[str, Any] = msgpack.unpackb(message, ext_hook=lambda _, data: uuid.UUID(bytes=data))
        return unpacked


@pytest.mark.parametrize("options", [{}, {"symmetric_encryption_keys": ["k"]}, {"serializer_format": "json"}])
async def test_a_subclass_may_have_a_form_of_its_own(server: Server, options: dict[str, Any]) -> None:
    layer = WithIds([server.url], **options)
    channel, message = await layer.new_channel(), {"type": "a", "id": uuid.uuid4()}
    await layer.group_add("g", channel)
    for send, name in ((layer.send, "normal"), (layer.send, channel), (layer.group_send, "g")):
        await send(name, message)
        assert await received(layer, channel if name == "g" else name) == message
    await layer.close_pools()


class Recording(MsgPackSerializer):  # type: ignore[misc] # channels_redis has no types
    seen: list[Any] = []  # noqa: RUF012

    def serialize(self, message: Any) -> bytes:
        self.seen.append(message)
        packed: bytes = super().serialize(message)
        return packed


@pytest.fixture
def recorded() -> Iterator[list[Any]]:
    registry.register_serializer("msgpack", Recording)
    yield Recording.seen
    registry.register_serializer("msgpack", MsgPackSerializer)


async def test_a_format_that_a_site_has_replaced_is_the_one_in_use(make: Make, recorded: list[Any]) -> None:
    layer = make()
    await layer.send("a", {"type": "a"})
    assert await received(layer, "a") == {"type": "a"}
    assert recorded == [{"type": "a"}]


@pytest.mark.parametrize("name", ["normal", "local"])
async def test_capacities_are_asked_for_at_every_send(make: Make, name: str) -> None:
    layer = make(capacity=5)
    channel = "normal" if name == "normal" else await layer.new_channel()
    assert await fill(layer, channel) == 5
    layer.capacity = 7
    assert await fill(layer, channel) == 2
    layer.channel_capacity = layer.compile_capacities({"*": 8})
    assert await fill(layer, channel) == 1
    await layer.group_add("g", channel)
    await layer.group_send("g", {"type": "a"})
    assert layer.counters.group_drops == 1


class Picky(RedisChannelLayer):
    def get_capacity(self, channel: str) -> Any:
        return {"one": 1, "three": 3.0}[channel]


async def test_a_subclass_may_say_how_much_a_channel_holds(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    layer = Picky([server.url], capacity=5)
    assert [await fill(layer, channel) for channel in ("one", "three")] == [1, 3]
    with caplog.at_level(logging.ERROR, "servicebus"):
        assert await fill(layer, "other") == 5
    assert "get_capacity raised: other has room for 5" in caplog.text
    await layer.close_pools()


async def test_expiry_may_become_less_and_not_more(make: Make) -> None:
    layer = make(expiry=30)
    await layer.send("a", {"type": "a", "n": 1})
    layer.expiry = 0.05
    await layer.send("a", {"type": "a", "n": 2})
    await asyncio.sleep(0.1)
    layer.expiry = 30
    await layer.send("a", {"type": "a", "n": 3})
    assert await numbers(layer, "a", 2) == [1, 3]
    with pytest.raises(ValueError, match="expiry is 31: servers keep messages for 30 s"):
        layer.expiry = 31


async def test_a_layer_has_the_errors_of_the_specification(make: Make) -> None:
    layer = make(capacity=1)
    with pytest.raises(channels.exceptions.MessageTooLarge, match=r"send less$"):
        await layer.send("a", {"type": "a", "b": bytes(17_000_000)})
    assert issubclass(layer.MessageTooLarge, channels.exceptions.MessageTooLarge)
    assert issubclass(layer.ChannelFull, ChannelFull)


class Name(str, enum.Enum):  # noqa: UP042 - it is not formatted as its value
    MAIL = "mail"
    ROOM = "room"


async def test_a_name_that_is_a_member_of_an_enum_is_its_value(make: Make) -> None:
    layer, other = make(), make()
    for sent, read in ((Name.MAIL, "mail"), ("mail", Name.MAIL)):
        await layer.send(sent, {"type": "a", "n": 1})
        assert await numbers(other, read, 1) == [1]
    await layer.group_add(Name.ROOM, Name.MAIL)
    await other.group_send("room", {"type": "a", "n": 2})
    assert await numbers(layer, "mail", 1) == [2]
    await layer.group_discard("room", "mail")
    await layer.group_send(Name.ROOM, {"type": "a", "n": 3})
    await layer.send("mail", {"type": "a", "n": 4})
    assert await numbers(layer, "mail", 1) == [4]


@pytest.mark.parametrize("prefix", ["", ".", "..", "a.", "a..b", "specific"])
async def test_a_channel_may_have_any_prefix(make: Make, prefix: str) -> None:
    layer, other = make(), make()
    channel = await layer.new_channel(prefix=prefix)
    for sender in (layer, other):
        await sender.send(channel, {"type": "a", "n": 1})
        assert await numbers(layer, channel, 1) == [1]


class Anything(RedisChannelLayer):
    def require_valid_channel_name(self, name: str, receive: bool = False) -> bool:
        return True


async def test_whatever_names_a_site_allows_can_be_read(server: Server) -> None:
    layer = Anything([server.url])
    for name in ("line\n", "a b", "å", "{x}"):
        await layer.send(name, {"type": "a", "n": 1})
        assert await numbers(layer, name, 1) == [1]
    await layer.close_pools()


async def test_a_copy_has_the_same_configuration_and_a_name_of_its_own(make: Make) -> None:
    layer = make(capacity=3, expiry=20, prefix="mine", channel_capacity={"b*": 2})
    await layer.send("a", {"type": "a", "n": 1})
    for made in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert (made.capacity, made.expiry, made.prefix, made.get_capacity("bb")) == (3, 20, "mine", 2)
        assert made.client_prefix != layer.client_prefix
        assert await numbers(made, "a", 1) == [1]
        await layer.send("a", {"type": "a", "n": 1})
        await made.close_pools()


@pytest.mark.filterwarnings("error")
async def test_layers_that_close_while_another_flushes_leave_no_connection(server: Server, make: Make) -> None:
    flushing = make()
    await flushing.send("x", {"type": "a"})

    async def close(layer: RedisChannelLayer) -> None:
        await asyncio.sleep(random.random() * 0.06)
        await layer.close_pools()

    for _ in range(3):
        many = [RedisChannelLayer([server.url]) for _ in range(40)]
        for layer in many:
            await layer.group_add("g", await layer.new_channel())
        await asyncio.gather(flushing.flush(), *map(close, many))
    await flushing.close_pools()
    await eventually(lambda: not server.clients())
    gc.collect()


async def test_a_layer_that_is_closed_while_it_is_used_goes_on(make: Make) -> None:
    layer = make(capacity=10_000)

    async def send() -> None:
        for n in range(100):
            await layer.send(f"c{n % 7}", {"type": "a", "n": n})

    async def close() -> None:
        for _ in range(20):
            await asyncio.sleep(0.002)
            await layer.close_pools()

    await asyncio.gather(*(send() for _ in range(5)), close())


class Text(RedisChannelLayer):
    def serialize(self, message: dict[str, Any]) -> Any:
        return str(message)


async def test_a_serializer_that_returns_no_bytes_fails_the_send(server: Server) -> None:
    layer = Text([server.url])
    with pytest.raises(TypeError, match="serialize must return bytes, not str"):
        await layer.send("a", {"type": "a"})
    await layer.close_pools()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"expiry": "60"}, "expiry is '60': a number of seconds"),
        ({"expiry": 0}, "expiry is 0"),
        ({"expiry": None}, "expiry is None"),
        ({"group_expiry": "86400"}, "group_expiry is '86400'"),
        ({"group_expiry": float("inf")}, "group_expiry is inf"),
        ({"capacity": "5"}, "whole number of messages, not '5'"),
        ({"capacity": -1}, "whole number of messages, not -1"),
        ({"channel_capacity": [("a*", 5)]}, "channel_capacity is .*: a dict"),
        ({"hosts": ("localhost", 6379)}, "hosts must be a list"),
        ({"hosts": ["localhost:6379"]}, "not a server URL: localhost:6379 "),
    ],
)
def test_a_bad_setting_is_refused_when_the_layer_is_made(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises((ValueError, ConfigurationError), match=complaint):
        RedisChannelLayer(**options)
