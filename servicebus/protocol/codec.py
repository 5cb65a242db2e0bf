"""Bytes to shapes and back. Any bytes decode to a frame or raise MalformedFrame, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from ..errors import MessageTooLarge
from .envelope import (
    CancellationFrame,
    OutgoingFrame,
    OutgoingRequestFrame,
    RawFrame,
    ReplyFrame,
    RequestFrame,
)

FrameT = TypeVar("FrameT", RequestFrame, ReplyFrame, RawFrame, CancellationFrame)

DEFAULT_MAX_SIZE = 65_536
MAX_SIZE = 1_048_576
MAX_FRAME = 16 * MAX_SIZE
"""Bytes of a frame of a Channels message, which has no other limit than what a server should be asked to hold."""

UNDECODABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""What msgspec raises for bytes that are not what they should be."""


def _plain(value: Any) -> Any:
    """A mapping that is no dict goes as one; nothing else that msgpack does not know goes at all."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is nothing that msgpack knows")


_encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode


class MalformedFrame(Exception):
    """The bytes are not a frame of the kind expected. The text says where they go wrong."""


def encode_frame(fence: int, expires: int, local: str, message: Any, limit: int) -> bytes:
    """One frame. Raises MessageTooLarge over ``limit`` bytes, TypeError or ValueError for what msgpack cannot hold."""
    frame = _encode(OutgoingFrame(fence, expires, local, message))
    if len(frame) > limit:
        raise MessageTooLarge(len(frame), limit)
    return frame


def encode_sent(fence: int, expires: int, local: str, message: Any, sent: int, limit: int) -> bytes:
    """One frame that says when it was sent. Raises as ``encode_frame``."""
    frame = _encode(OutgoingRequestFrame(fence, expires, local, message, sent))
    if len(frame) > limit:
        raise MessageTooLarge(len(frame), limit)
    return frame


def _frame_decoder(shape: type[FrameT]) -> Callable[[bytes, int], FrameT]:
    decode = msgspec.msgpack.Decoder(shape).decode

    def decode_frame(frame: bytes, limit: int) -> FrameT:
        if len(frame) > limit:
            raise MalformedFrame(f"{len(frame)} bytes, over the limit of {limit}")
        try:
            return decode(frame)
        except UNDECODABLE as error:
            raise MalformedFrame(str(error)) from error

    return decode_frame


decode_request = _frame_decoder(RequestFrame)
decode_reply = _frame_decoder(ReplyFrame)
decode_raw = _frame_decoder(RawFrame)
decode_cancellation = _frame_decoder(CancellationFrame)


def restamped(frame: bytes, fence: int) -> bytes:
    """The same frame under the fence of another primary, for one that was built but never sent."""
    old = decode_raw(frame, MAX_FRAME)
    return _encode(RawFrame(fence, old.expires, old.local, old.message, old.sent))
