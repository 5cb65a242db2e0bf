"""Control messages: every field of every one of them, empty, huge, of another type and of another process."""

from __future__ import annotations

import contextlib
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.contract.names import MAX_LENGTH, is_channel
from servicebus.protocol.addresses import split_address
from servicebus.protocol.codec import MalformedFrame
from servicebus.protocol.control_messages import (
    CALLS_PER_NOTICE,
    CANCEL,
    FLUSH,
    FLUSHED,
    JOIN,
    LEAVE,
    LOST,
    MAX_CONTROL_FRAME,
    MAX_NAME,
    MAX_TOKEN,
    ControlMessage,
    cancelled_calls,
    is_inbox,
    read_control_message,
)

from ...support.strategies import scalars

INBOX = "4f2a!"
OWN, FOREIGN = "specific.4f2a!abc", "specific.beef!abc"
PREFIX = "response.orders.4f2a!"
RIGHT: dict[str, dict[str, Any]] = {
    CANCEL: {"prefix": PREFIX, "calls": ["c81d", "a-b_c.9"]},
    JOIN: {"group": "chat", "channel": OWN},
    LEAVE: {"group": "chat", "channel": OWN},
    LOST: {"group": "chat", "channel": ""},
    FLUSH: {"group": "0" * 32, "channel": "beef!"},
    FLUSHED: {"group": "0" * 32, "channel": "beef!"},
}
"""One message of each type whose fields are all right."""
NO_NAME: list[Any] = ["", "a \xff", "x" * 2_000_000, None, 7, True, b"4f2a!", [], {}, ["x"], float("nan")]
"""What is no name, whatever is to be named."""
WRONG: dict[tuple[str, str], list[Any]] = {
    (CANCEL, "prefix"): [*NO_NAME, "response.orders.4f2a", "a!b!", "!", "a b!", PREFIX + "\n", "x" * 100 + "!"],
    (CANCEL, "calls"): [
        *NO_NAME[3:-2],
        *([call] for call in [*NO_NAME, "a\r\n", "a!b", "{x}", "x" * 101]),
        [],
        ["x"] * (CALLS_PER_NOTICE + 1),
        [["x"]],
    ],
    **{(kind, "group"): ["", "x" * (MAX_NAME + 1), *NO_NAME[2:]] for kind in (JOIN, LEAVE, LOST)},
    **{(kind, "channel"): [*NO_NAME, FOREIGN, "normal", "4f2a", "4f2a!" * 1000] for kind in (JOIN, LEAVE)},
    (LOST, "channel"): NO_NAME[2:],
    **{(kind, "group"): ["", "x" * (MAX_TOKEN + 1), *NO_NAME[2:]] for kind in (FLUSH, FLUSHED)},
    **{
        (kind, "channel"): [*NO_NAME, "normal", "!", "a!b", "asgi.x!", "a\r\n!", "{a}!", "x" * 100 + "!"]
        for kind in (FLUSH, FLUSHED)
    },
}
"""By type and field, what cannot be right there."""
CASES = [(kind, field, value) for (kind, field), values in WRONG.items() for value in values]


def made(kind: str, **fields: Any) -> dict[str, Any]:
    """A message of a type with these fields; the others are right."""
    return {"type": kind, **RIGHT.get(kind, {}), **fields}


def framed(message: Any, local: Any) -> bytes:
    return msgspec.msgpack.encode([0, 2**63, local, message])


def read(frame: bytes, kind: str) -> ControlMessage | set[str]:
    return cancelled_calls(frame) if kind == CANCEL else read_control_message(frame, INBOX)


@pytest.mark.parametrize("kind", RIGHT)
def test_a_control_message_whose_fields_are_right_is_read(kind: str) -> None:
    found = read(framed(made(kind), kind), kind)
    if isinstance(found, ControlMessage):
        assert found == ControlMessage(kind, **RIGHT[kind])
    else:
        assert found == {PREFIX + "c81d", PREFIX + "a-b_c.9"}


@pytest.mark.parametrize(("kind", "field", "value"), CASES, ids=range(len(CASES)))
def test_a_field_that_cannot_be_right_makes_a_message_malformed(kind: str, field: str, value: Any) -> None:
    frame = framed(made(kind, **{field: value}), kind)
    with pytest.raises(MalformedFrame):
        read(frame, kind)


@pytest.mark.parametrize("kind", RIGHT)
@pytest.mark.parametrize("local", ["", "+", "+later", "*chat", JOIN, CANCEL, 7])
def test_a_control_message_under_another_name_is_malformed(kind: str, local: Any) -> None:
    if local != kind:
        with pytest.raises(MalformedFrame):
            read(framed(made(kind), local), kind)


names = st.text(max_size=MAX_LENGTH) | st.sampled_from([INBOX, OWN, FOREIGN, PREFIX, "", "chat"])
values = scalars | names | st.lists(names | scalars, max_size=5) | st.dictionaries(names, names, max_size=2)


@given(st.sampled_from([*RIGHT, "+later", ""]), st.dictionaries(st.sampled_from(["prefix", "calls"]), values))
def test_a_cancel_notice_names_legal_channels_or_is_malformed(kind: str, fields: dict[str, Any]) -> None:
    with contextlib.suppress(MalformedFrame):
        calls = cancelled_calls(framed(made(kind, **fields), kind))
        assert kind == CANCEL
        for call in calls:
            assert is_channel(call)
            assert call.partition("!")[2]


@given(st.sampled_from([*RIGHT, "+later", ""]), st.dictionaries(st.sampled_from(["group", "channel"]), values))
def test_a_control_message_names_what_is_ours_or_is_malformed(kind: str, fields: dict[str, Any]) -> None:
    with contextlib.suppress(MalformedFrame):
        message = read_control_message(framed(made(kind, **fields), kind), INBOX)
        assert message.type == kind
        assert 0 < len(message.group) <= MAX_NAME
        if kind in (JOIN, LEAVE):
            assert split_address(message.channel)[0] == INBOX
        elif kind in (FLUSH, FLUSHED):
            assert is_inbox(message.channel)
            assert is_channel(message.channel)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_control_message_or_malformed(frame: bytes) -> None:
    for kind in RIGHT:
        with contextlib.suppress(MalformedFrame):
            assert read(frame, kind)


BOMBS: dict[str, tuple[str, dict[str, Any]]] = {
    "a prefix of 20 KB and 100,000 calls": (CANCEL, {"prefix": "x" * 20_000 + "!", "calls": ["abc"] * 100_000}),
    "a million calls": (CANCEL, {"prefix": PREFIX, "calls": ["a"] * 1_000_000}),
    "a group of 10 MB": (JOIN, {"group": "x" * 10_000_000, "channel": OWN}),
    "a channel of 10 MB": (FLUSH, {"group": "token", "channel": "x" * 10_000_000 + "!"}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_huge_control_message_is_refused_before_anything_is_built(name: str) -> None:
    kind, fields = BOMBS[name]
    frame = framed(made(kind, **fields), kind)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedFrame):
            read(frame, kind)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MAX_CONTROL_FRAME


def test_a_full_cancel_notice_fits_into_a_control_frame() -> None:
    calls = [f"{number:0{MAX_LENGTH - len(PREFIX) - 1}}" for number in range(CALLS_PER_NOTICE)]
    frame = framed({"type": CANCEL, "prefix": PREFIX, "calls": calls}, CANCEL)
    assert len(frame) <= MAX_CONTROL_FRAME
    assert len(cancelled_calls(frame)) == CALLS_PER_NOTICE
