"""Frames to channel-layer messages and back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ...protocol.addresses import full_name
from ...protocol.codec import (
    MAX_FRAME,
    UNDECODABLE,
    MalformedFrame,
    decode_raw,
)
from ...protocol.envelope import ERROR, REPLY, OutgoingFrame
from ..delivery import Delivery

Message = dict[str, Any]

_BINARY = (bytes, bytearray, memoryview)
_read = msgspec.msgpack.Decoder(Message).decode


def epoch_ms() -> int:
    """The clock of this machine, in milliseconds: a foreign layer has no other that all could ask."""
    return int(time.time() * 1000)


@dataclass(frozen=True, slots=True)
class Letter:
    """A delivery as a channel layer wants it: the full name of its channel, and its message as plain values."""

    delivery: Delivery
    name: str
    message: Message
    expires: int

    @property
    def size(self) -> int:
        return len(self.delivery.frame)


def letter_of(delivery: Delivery) -> Letter:
    """Read a delivery's frame. Raises MalformedFrame.

    An instant becomes its RFC 3339 text, which typed contracts read as well: most layers have no other form for it.
    """
    parsed = decode_raw(delivery.frame, MAX_FRAME)
    try:
        message: Message = msgspec.to_builtins(_read(parsed.message), builtin_types=_BINARY)
    except (*UNDECODABLE, TypeError) as error:
        raise MalformedFrame(str(error)) from error
    return Letter(delivery, full_name(delivery.channel, parsed.local), message, parsed.expires)


def frame_of(message: object, local: str, expires: int) -> bytes:
    """The frame of a message that was received. Raises MalformedFrame for one that msgpack cannot hold."""
    if not isinstance(message, dict):
        raise MalformedFrame(f"a message is a dict, not a {type(message).__name__}")
    try:
        return _write(OutgoingFrame(0, expires, local, message))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MalformedFrame(str(error)) from error


def not_encodable(message: Message) -> Message | None:
    """What a caller is told instead of a reply that the layer cannot hold; None for a message that is no reply."""
    if message.get("type") != REPLY or "body" not in message:
        return None
    text = "the reply cannot be held by the channel layer"
    return {"type": ERROR, "code": "reply_not_encodable", "executed": "yes", "message": text}


def _base(value: Any) -> Any:
    """Subclasses go as what they are: a layer in memory hands over Django's SafeString as it is."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return bytes(memoryview(value))
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a message cannot hold a {type(value).__name__}")


_write = msgspec.msgpack.Encoder(enc_hook=_base).encode
