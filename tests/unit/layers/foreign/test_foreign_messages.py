from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.layers.foreign.messages import frame_of, outgoing_message, unencodable_reply
from servicebus.protocol.addresses import full_name, split_address
from servicebus.protocol.codec import MAX_FRAME, MalformedFrame, decode_raw, encode_frame

from ....support.transport import Sent

words = st.text(alphabet="abcXYZ019-_", min_size=1, max_size=8)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=8) | st.binary(max_size=8)
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(words, scalars, max_size=3)
messages = st.dictionaries(words, values, max_size=4).map(lambda fields: {**fields, "type": "n"})


@given(messages, st.integers(0, 2**53), st.none() | words)
def test_a_message_is_the_same_after_a_frame_and_back(
    message: dict[str, Any], expires: int, unique: str | None
) -> None:
    local = "" if unique is None else f"x!{unique}"
    parsed = decode_raw(frame_of(message, local, expires), MAX_FRAME)
    assert (parsed.local, parsed.expires) == (local, expires)
    delivery = Sent(frame_of(message, "", expires))
    found = outgoing_message(delivery)
    assert (found.message, found.expires, found.name) == (message, expires, "shop.request")
    assert found.size == len(delivery.frame)


@given(st.lists(words, min_size=1, max_size=4), st.none() | words)
def test_a_full_name_is_what_its_address_was_split_from(parts: list[str], unique: str | None) -> None:
    name = ".".join(parts) + ("" if unique is None else f"!{unique}")
    assert full_name(*split_address(name)) == name


def test_an_instant_becomes_its_text() -> None:
    frame = encode_frame(0, 1, "", {"type": "n", "at": datetime(2011, 12, 9, 12, 50, tzinfo=UTC)}, 1000)
    assert outgoing_message(Sent(frame)).message["at"] == "2011-12-09T12:50:00Z"


class Text(str):
    """As Django's SafeString."""


class Raw(bytes):
    """A subclass of bytes."""


def test_a_subclass_of_a_plain_value_goes_as_the_plain_value() -> None:
    message = {"type": "n", "text": Text("x"), "raw": Raw(b"y"), "deep": MappingProxyType({"a": [Text("z")]})}
    fields = msgpack.unpackb(frame_of(message, "", 1))[3]
    assert fields == {"type": "n", "text": "x", "raw": b"y", "deep": {"a": ["z"]}}


@pytest.mark.parametrize("message", [None, "text", [1], {"type": object()}, {"type": 2**80}])
def test_a_value_that_is_not_a_message_is_refused(message: object) -> None:
    with pytest.raises(MalformedFrame):
        frame_of(message, "", 1)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_a_malformed_frame(frame: bytes) -> None:
    with contextlib.suppress(MalformedFrame):
        outgoing_message(Sent(frame))


def test_only_a_reply_has_an_error_in_its_place() -> None:
    error = unencodable_reply({"type": "reply", "body": 1})
    assert error is not None
    assert (error["type"], error["code"], error["executed"]) == ("error", "reply_not_encodable", "yes")
    assert unencodable_reply({"type": "reserve", "body": 1}) is None
    assert unencodable_reply({"type": "reply"}) is None
