from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus import MessageTooLarge
from servicebus.config import DEFAULT_MAX_MESSAGE_SIZE
from servicebus.errors import LARGEST_MESSAGE
from servicebus.protocol.codec import (
    UNDECODABLE,
    MalformedFrame,
    decode_raw,
    decode_reply,
    decode_request,
    encode_frame,
    restamped,
)
from servicebus.protocol.envelope import NO_BODY, OutgoingRequest

from ...support.strategies import fences, frames, instants, requests, texts

DECODERS = (decode_request, decode_reply, decode_raw)


def decodes_or_is_malformed(data: bytes) -> None:
    for decode in DECODERS:
        try:
            decoded = decode(data, DEFAULT_MAX_MESSAGE_SIZE)
        except MalformedFrame:
            continue
        body: Any = getattr(decoded.message, "body", decoded.message)
        reads_or_is_undecodable(bytes(body))


def reads_or_is_undecodable(body: bytes) -> None:
    """What the handler's decoder meets later, in the part that the frame's decoder skipped."""
    with suppress(*UNDECODABLE):
        msgspec.msgpack.decode(body)


@given(st.binary(max_size=200))
def test_any_bytes_decode_to_a_frame_or_are_malformed(data: bytes) -> None:
    decodes_or_is_malformed(data)


@given(frames, st.data())
def test_a_frame_with_flipped_bits_decodes_or_is_malformed(frame: bytes, data: st.DataObject) -> None:
    flipped = bytearray(frame)
    for at in data.draw(st.lists(st.integers(0, len(frame) - 1), min_size=1, max_size=4)):
        flipped[at] ^= data.draw(st.integers(1, 255))
    decodes_or_is_malformed(bytes(flipped))


@given(frames)
def test_a_frame_cut_anywhere_is_malformed(frame: bytes) -> None:
    for end in range(len(frame)):
        for decode in DECODERS:
            with pytest.raises(MalformedFrame):
                decode(frame[:end], DEFAULT_MAX_MESSAGE_SIZE)


@given(frames, st.binary(min_size=1, max_size=5))
def test_bytes_after_the_frame_make_it_malformed(frame: bytes, more: bytes) -> None:
    with pytest.raises(MalformedFrame):
        decode_raw(frame + more, LARGEST_MESSAGE)


@given(fences, instants, texts, requests)
def test_a_request_is_read_as_it_was_written(fence: int, expires: int, local: str, sent: OutgoingRequest) -> None:
    frame = decode_request(encode_frame(fence, expires, local, sent, LARGEST_MESSAGE), LARGEST_MESSAGE)
    assert (frame.fence, frame.expires, frame.local) == (fence, expires, local)
    read = frame.message
    assert repr(msgspec.msgpack.decode(read.body)) == repr(as_read(sent.body))
    for name in ("type", "reply_channel", "deadline", "correlation_id", "headers", "caller"):
        assert getattr(read, name) == getattr(sent, name)


def as_read(value: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))


@given(frames, fences)
def test_a_restamped_frame_differs_in_its_fence_alone(frame: bytes, fence: int) -> None:
    before, after = decode_raw(frame, LARGEST_MESSAGE), decode_raw(restamped(frame, fence), LARGEST_MESSAGE)
    assert after.fence == fence
    assert (after.expires, after.local, bytes(after.message)) == (before.expires, before.local, bytes(before.message))


def test_an_absent_body_is_told_from_a_body_of_nil() -> None:
    absent = msgspec.msgpack.encode([0, 1, "", {"type": "x"}])
    nil = msgspec.msgpack.encode([0, 1, "", {"type": "x", "body": None}])
    assert decode_request(absent, LARGEST_MESSAGE).message.body is NO_BODY
    assert bytes(decode_request(nil, LARGEST_MESSAGE).message.body) == b"\xc0"


def test_elements_after_the_fifth_and_unknown_keys_are_ignored() -> None:
    frame = msgspec.msgpack.encode([0, 1, "", {"type": "x", "body": 1, "colour": "red"}, 5, "later"])
    assert decode_request(frame, LARGEST_MESSAGE).message.type == "x"


@pytest.mark.parametrize("decode", DECODERS)
def test_a_frame_over_the_limit_is_refused_before_it_is_decoded(decode: Any) -> None:
    with pytest.raises(MalformedFrame, match="65537 bytes, over the limit of 65536"):
        decode(b"\xc1" * 65_537, DEFAULT_MAX_MESSAGE_SIZE)


def test_an_encoded_frame_is_measured_to_the_byte() -> None:
    size = len(encode_frame(0, 0, "", "x" * 1000, LARGEST_MESSAGE))
    assert len(encode_frame(0, 0, "", "x" * 1000, size)) == size
    with pytest.raises(MessageTooLarge) as caught:
        encode_frame(0, 0, "", "x" * 1000, size - 1)
    assert (caught.value.size, caught.value.limit) == (size, size - 1)
