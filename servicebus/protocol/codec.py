"""Bytes to shapes and back. Any bytes decode to a frame or raise MalformedFrame, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

from ..errors import LARGEST_MESSAGE, MessageTooLarge
from ..foundation.plain import plain
from .envelope import (
    OutgoingFrame,
    OutgoingRequestFrame,
    RawFrame,
    ReplyFrame,
    RequestFrame,
)
from .replay_guard import Replays

FrameT = TypeVar("FrameT", RequestFrame, ReplyFrame, RawFrame)


MAX_FRAME = 16 * LARGEST_MESSAGE
"""Bytes of a frame of a Channels message, which has no other limit than what a server should be asked to hold."""

UNDECODABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""What msgspec raises for bytes that are not what they should be."""


encode = msgspec.msgpack.Encoder(enc_hook=plain).encode
"""A shape to bytes."""

encode_sorted = msgspec.msgpack.Encoder(enc_hook=plain, order="deterministic").encode
"""A shape to bytes that are the same for equal shapes: mappings and sets are sorted. For digests."""


class MalformedFrame(Exception):
    """The bytes are not a frame of the kind expected. The text says where they go wrong."""


def encode_frame(fence: int, expires: int, local: str, message: Any, limit: int, channel: str = "") -> bytes:
    """One frame.

    Args:
        fence: of the primary that will take it, 0 when that is not known.
        expires: the instant after which it must not be delivered, in milliseconds.
        local: the local name of a process-local channel, "" for others.
        message: the envelope.
        limit: bytes that the frame may have.
        channel: where it goes, which only a signature depends on.

    Raises:
        MessageTooLarge: the frame is over the limit.
        TypeError, ValueError: msgpack cannot hold the message.
    """
    frame = encode(OutgoingFrame(fence, expires, local, message))
    if len(frame) > limit:
        raise MessageTooLarge(len(frame), limit)
    return frame


def encode_sent(fence: int, expires: int, local: str, message: Any, sent: int, limit: int, channel: str = "") -> bytes:
    """One frame that names the instant at which it was ``sent``. Arguments are those of ``encode_frame``.

    Raises:
        MessageTooLarge: the frame is over the limit.
        TypeError, ValueError: msgpack cannot hold the message.
    """
    frame = encode(OutgoingRequestFrame(fence, expires, local, message, sent))
    if len(frame) > limit:
        raise MessageTooLarge(len(frame), limit)
    return frame


Decode = Callable[[bytes, int], FrameT]
"""Bytes, and how many there may be, to a frame. Raises MalformedFrame."""


def _frame_decoder(shape: type[FrameT]) -> Decode[FrameT]:
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


def restamped(frame: bytes, fence: int, channel: str = "") -> bytes:
    """The same frame under the fence of another primary, for one that was built but never sent."""
    old = decode_raw(frame, MAX_FRAME)
    return encode(RawFrame(fence, old.expires, old.local, old.message, old.sent))


Restamp = Callable[[bytes, int, str], bytes]
"""``restamped``, of the channel that the frame goes to."""


class Codec(Protocol):
    """How frames are written and read. Chosen once for a bus: a bus that signs reads and writes other frames."""

    def encode_frame(self, fence: int, expires: int, local: str, message: Any, limit: int, channel: str, /) -> bytes:
        """See ``encode_frame``."""

    def encode_sent(
        self, fence: int, expires: int, local: str, message: Any, sent: int, limit: int, channel: str, /
    ) -> bytes:
        """See ``encode_sent``."""

    def restamped(self, frame: bytes, fence: int, channel: str, /) -> bytes:
        """See ``restamped``."""

    def reading(self, channel: str, decode: Decode[FrameT]) -> Decode[FrameT]:
        """How frames that come from ``channel`` are decoded."""

    def begin(self) -> None:
        """Called whenever a bus opens. A bus that was made before a fork opens in several processes."""
        ...

    @property
    def replays(self) -> Replays | None:
        """What a worker remembers of the frames that it took, where a copy could be told from them."""


class PlainCodec:
    """Frames without signatures."""

    encode_frame = staticmethod(encode_frame)
    encode_sent = staticmethod(encode_sent)
    restamped = staticmethod(restamped)
    replays = None

    def reading(self, channel: str, decode: Decode[FrameT]) -> Decode[FrameT]:
        return decode

    def begin(self) -> None:
        """Nothing to do: plain frames have no nonces."""


PLAIN = PlainCodec()
