from __future__ import annotations

import contextlib
import copy
import datetime
import decimal
import enum
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from django.utils.safestring import mark_safe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servicebus.channel_layer.serializer import Messages
from servicebus.errors import MessageTooLarge
from servicebus.layers.redis import RedisChannelLayer
from servicebus.protocol.codec import MalformedFrame, encode_frame

from ...support.channel_tools import Make, nothing, received
from .conftest import OPTIONS, PLACES, arguments_of

TEXTS: list[dict[str, Any]] = [
    {"type": "a"},
    {},
    {"type": "a", "none": None, "yes": True, "no": False, "float": 1.5, "list": [1, [2, [3, {"deep": [None]}]]]},
    {"type": "a", "int64": [2**63 - 1, -(2**63), 0, -1, 2**53 + 1]},
    {"type": "å", "text": "\x00 ∀ 🚌 \n", "nested": {"a": {"b": {"c": {}}}}},
    {"type": "a", "empty": ["", [], {}]},
    {"type": "a", "long": "x" * 1_000_000},
]
BYTES: list[dict[str, Any]] = [
    {"type": "a", "bytes": b"\x00\xff", "text": "\x00", "empty": b""},
    {"type": "a", "list": [b"1", "1", {"b": b"x"}]},
    {"type": "a", "long": bytes(1_000_000)},
]


@pytest.fixture(params=[*PLACES, *OPTIONS])
def variant(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Also with another serializer, and with encryption."""
    return arguments_of(request)


class Colour(enum.StrEnum):
    RED = "red"


class Plain(enum.Enum):
    RED = "red"


class Floor(enum.IntEnum):
    SECOND = 2


class Metres(float):
    """A float with a unit."""


@dataclass
class Point:
    x: int
    y: int


@pytest.mark.parametrize("number", range(len(TEXTS)))
async def test_a_message_arrives_as_it_was_sent(layer: RedisChannelLayer, number: int) -> None:
    message = TEXTS[number]
    before = copy.deepcopy(message)
    for channel in ("normal", await layer.new_channel()):
        await layer.send(channel, message)
        got = await received(layer, channel)
        assert got == before
        assert message == before
        assert got is not message


@pytest.mark.parametrize("number", range(len(BYTES)))
@pytest.mark.parametrize("keys", [None, ["k"]])
async def test_bytes_and_str_stay_distinct(make: Make, number: int, keys: Any) -> None:
    layer = make(symmetric_encryption_keys=keys)
    channel = await layer.new_channel()
    await layer.send(channel, BYTES[number])
    assert await received(layer, channel) == BYTES[number]


async def test_a_group_message_arrives_as_it_was_sent(layer: RedisChannelLayer) -> None:
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    for message in TEXTS:
        await layer.group_send("g", message)
        assert await received(layer, channel) == message


async def test_subclasses_arrive_as_what_they_are(layer: RedisChannelLayer) -> None:
    message = {"html": mark_safe("<b>"), "colour": Colour.RED, "pair": (1, 2), "far": Metres(1.5), "nth": Floor.SECOND}
    await layer.send("a", {"type": "a", **message})
    got = await received(layer, "a")
    assert got == {"type": "a", "html": "<b>", "colour": "red", "pair": [1, 2], "far": 1.5, "nth": 2}
    assert (type(got["html"]), type(got["far"]), type(got["nth"])) == (str, float, int)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        decimal.Decimal(1),
        uuid.UUID(int=1),
        datetime.datetime(2026, 1, 1),
        datetime.date(2026, 1, 1),
        datetime.timedelta(1),
        Plain.RED,
        Point(1, 2),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_values_that_a_channel_layer_need_not_carry_are_refused(layer: RedisChannelLayer, value: Any) -> None:
    with pytest.raises(TypeError):
        await layer.send("a", {"type": "a", "value": value})
    with pytest.raises(TypeError):
        await layer.group_send("g", {"type": "a", "value": [value]})


async def test_a_message_the_serializer_cannot_hold_is_refused_unsent(layer: RedisChannelLayer) -> None:
    loop: dict[str, Any] = {"type": "a"}
    loop["self"] = loop
    bad: list[Any] = [{"a": object()}, {"a": 1j}, loop]
    for message in bad:
        with pytest.raises((TypeError, ValueError)):
            await layer.send("a", message)
        with pytest.raises((TypeError, ValueError)):
            await layer.group_send("g", message)
    await nothing(layer, "a")


async def test_an_integer_over_64_bits_is_refused(plain: RedisChannelLayer) -> None:
    with pytest.raises(OverflowError):
        await plain.send("a", {"a": 2**64})


@pytest.mark.parametrize("message", [None, "a", b"a", [("type", "a")], 5, object()])
async def test_a_message_that_is_not_a_dict_is_an_assertion_error(layer: RedisChannelLayer, message: Any) -> None:
    with pytest.raises(AssertionError):
        await layer.send("a", message)
    with pytest.raises(AssertionError):
        await layer.group_send("a", message)


async def test_the_reserved_key_is_an_assertion_error(layer: RedisChannelLayer) -> None:
    with pytest.raises(AssertionError):
        await layer.send("a", {"type": "a", "__asgi_channel__": "b"})
    with pytest.raises(AssertionError):
        await layer.group_send("a", {"type": "a", "__asgi_channel__": "b"})


async def test_a_change_of_a_message_after_send_began_is_not_sent(plain: RedisChannelLayer) -> None:
    message = {"type": "a", "list": [1]}
    await plain.send("a", message)
    message["list"] = []
    assert (await received(plain, "a"))["list"] == [1]


async def test_each_member_gets_a_message_of_its_own(layer: RedisChannelLayer) -> None:
    channels = [await layer.new_channel() for _ in range(2)]
    for channel in channels:
        await layer.group_add("g", channel)
    await layer.group_send("g", {"type": "a", "list": [1]})
    first = await received(layer, channels[0])
    first["list"].append(2)
    assert await received(layer, channels[1]) == {"type": "a", "list": [1]}


async def test_sixteen_megabytes_are_too_much(plain: RedisChannelLayer) -> None:
    with pytest.raises(MessageTooLarge):
        await plain.send("a", {"type": "a", "b": bytes(17_000_000)})


async def test_a_key_that_was_retired_still_decrypts(make: Make) -> None:
    old, new = make(symmetric_encryption_keys=["old"]), make(symmetric_encryption_keys=["new", "old"])
    await old.send("a", {"type": "a"})
    assert await received(new, "a") == {"type": "a"}
    await new.send("a", {"type": "b"})
    await nothing(old, "a")
    assert old.counters.poisoned == 1


async def test_nothing_can_be_read_without_the_key(make: Make, server: Any) -> None:
    layer = make(symmetric_encryption_keys=["key"])
    await layer.send("a", {"type": "a", "secret": "hunter2"})
    (frame,) = server.frames("a")
    assert b"hunter2" not in frame
    assert b"secret" not in frame


async def test_a_layer_with_keys_takes_no_message_in_the_clear(make: Make) -> None:
    secret = make(symmetric_encryption_keys=["key"])
    await make().send("a", {"type": "a", "n": 1})
    await secret.send("a", {"type": "a", "n": 2})
    assert (await received(secret, "a"))["n"] == 2
    assert secret.counters.poisoned == 1


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(message=st.dictionaries(st.text(), values, max_size=5), secret=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_message_survives_its_frame(message: dict[str, Any], secret: bool) -> None:
    messages = Messages("msgpack", ["k"] if secret else None, 12, 60)
    frame = encode_frame(1, 2, "", messages.body(message, messages.serialize), 1 << 24)
    assert messages.message(frame, messages.deserialize) == message


@given(frame=st.binary(max_size=64), secret=st.booleans())
def test_any_bytes_are_a_message_or_malformed(frame: bytes, secret: bool) -> None:
    messages = Messages("msgpack", ["k"] if secret else None, 12, 60)
    with contextlib.suppress(MalformedFrame):
        assert isinstance(messages.message(frame, messages.deserialize), dict)
