"""Frames to channel-layer messages and back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import msgspec

from ...foundation.plain import plain
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
"""A message as Channels knows it: plain values by name, with a ``type``."""

_BINARY = (bytes, bytearray, memoryview)
_read = msgspec.msgpack.Decoder(Message).decode


def epoch_ms() -> int:
    """Return the time of this machine, in milliseconds: a foreign layer has no clock that all processes could ask."""
    return int(time.time() * 1000)


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A delivery in the form that a channel layer sends.

    Attributes:
        delivery: whom to tell the outcome.
        name: the full name of the channel, with the local part of a process-local one.
        message: plain values.
        expires: the instant, in milliseconds since 1970, from which on the message is not to be sent.
    """

    delivery: Delivery
    name: str
    message: Message
    expires: int

    @property
    def size(self) -> int:
        """Bytes of the frame."""
        return len(self.delivery.frame)


def outgoing_message(delivery: Delivery) -> OutgoingMessage:
    """Read the frame of a delivery.

    An instant becomes its RFC 3339 text, which typed contracts read as well: most layers have no other form for it.

    Raises:
        MalformedFrame: the frame does not hold a message.
    """
    parsed = decode_raw(delivery.frame, MAX_FRAME)
    try:
        message: Message = msgspec.to_builtins(_read(parsed.message), builtin_types=_BINARY)
    except (*UNDECODABLE, TypeError) as error:
        raise MalformedFrame(str(error)) from error
    return OutgoingMessage(delivery, full_name(delivery.channel, parsed.local), message, parsed.expires)


def frame_of(message: object, local: str, expires: int) -> bytes:
    """Return the frame of a message that was received.

    Args:
        message: what ``receive`` returned.
        local: the local part of the process-local channel that it came for, "" for other channels.
        expires: the instant, in milliseconds since 1970, from which on the frame is not to be handled.

    Raises:
        MalformedFrame: it is not a message, or msgpack cannot hold it.
    """
    if not isinstance(message, dict):
        raise MalformedFrame(f"a message is a dict, not a {type(message).__name__}")
    try:
        return _write(OutgoingFrame(0, expires, local, message))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MalformedFrame(str(error)) from error


def unencodable_reply(message: Message) -> Message | None:
    """Return the error to send to a caller instead of a reply that the layer cannot hold; None for other messages."""
    if message.get("type") != REPLY or "body" not in message:
        return None
    text = "the reply cannot be held by the channel layer"
    return {"type": ERROR, "code": "reply_not_encodable", "executed": "yes", "message": text}


_write = msgspec.msgpack.Encoder(enc_hook=plain).encode
