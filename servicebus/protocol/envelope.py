"""The shapes on the wire, each declared once. docs/spec.md, sections 5 and 6, is their source.

Outgoing shapes hold the body as an object, so that one pass encodes the whole frame; incoming ones hold it as raw
bytes, which only the handler's or caller's own decoder reads.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

REPLY = "reply"
ERROR = "error"
UNSIGNED = (b"\x94", b"\x95")
"""How a frame without a signature begins: an array of four or five."""
SIGNED = b"\x98"
"""How one with a signature begins: an array of eight."""
TOMBSTONE = b"\xa9withdrawn"
"""What stands in a list where a frame was withdrawn: no frame, and no message."""
NO_BODY = Raw()
"""The very object that stands for an absent body: compare with ``is``."""


class OutgoingRequest(Struct, frozen=True, omit_defaults=True, gc=False):
    """A request, one-way message or event, as its sender builds it."""

    type: str
    body: Any
    reply_channel: str = ""
    deadline: int = 0
    correlation_id: str = ""
    headers: dict[str, str] | None = None
    caller: str = ""


class IncomingRequest(Struct, frozen=True, gc=False):
    """A request, one-way message or event, as the worker reads it. ``NO_BODY`` means: the message itself."""

    type: str
    body: Raw = NO_BODY
    reply_channel: str = ""
    deadline: int = 0
    correlation_id: str = ""
    headers: dict[str, str] | None = None
    caller: str = ""


class OutgoingReply(Struct, frozen=True, gc=False):
    """What a handler returned."""

    type: str
    body: Any


class OutgoingError(Struct, frozen=True, omit_defaults=True, gc=False):
    """Why there is no reply."""

    type: str
    code: str
    executed: str
    message: str = ""
    details: Any = None


class IncomingReply(Struct, frozen=True, gc=False):
    """A reply or an error, as the caller reads it."""

    type: str
    body: Raw = Raw()
    code: str = ""
    executed: str = "maybe"
    message: str = ""
    details: Raw = Raw()


class OutgoingFrame(Struct, frozen=True, array_like=True, gc=False):
    """One list element, to be encoded."""

    fence: int
    expires: int
    local: str
    message: Any


class OutgoingRequestFrame(Struct, frozen=True, array_like=True, gc=False):
    """One list element with a request, or a message of Channels, to be encoded."""

    fence: int
    expires: int
    local: str
    message: Any
    sent: int


class OutgoingSignedFrame(Struct, frozen=True, array_like=True, gc=False):
    """One list element, to be encoded and signed. ``mac`` is there to be counted: empty, it leaves no bytes."""

    fence: int
    expires: int
    local: str
    message: Any
    sent: int
    key: str
    nonce: int
    mac: Raw = Raw()


class RequestFrame(Struct, frozen=True, array_like=True, gc=False):
    """One list element with a request in it. ``sent`` is 0 when its sender does not say when that was."""

    fence: int
    expires: int
    local: str
    message: IncomingRequest
    sent: int = 0


class ReplyFrame(Struct, frozen=True, array_like=True, gc=False):
    """One list element with a reply in it."""

    fence: int
    expires: int
    local: str
    message: IncomingReply


class RawFrame(Struct, frozen=True, array_like=True, gc=False):
    """One list element whose message is not looked at."""

    fence: int
    expires: int
    local: str
    message: Raw
    sent: int = 0
