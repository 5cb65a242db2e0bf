"""Control messages: what processes tell each other through their inboxes, and the limits of every field.

A control message is a frame whose local name is one that no channel can have: it begins with ``+``. A frame whose local
name begins with ``*`` is not a control message: it holds a message for the members of a group. A program that may push
to an inbox may push any bytes, so a field that is too large is refused before anything is built from it, and only names
that can be right are accepted. docs/spec.md, section 7, has the same limits.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from ..contract.names import MAX_LENGTH
from .addresses import split_address
from .codec import UNDECODABLE, MalformedFrame

FAN_OUT = "*"
"""``*<group>`` is the local name of a message for the members of a group."""
CONTROL = "+"
"""How the local names of control messages begin."""
CANCEL: Final = "+cancel"
"""The receiver ends the handlers of the calls that are named."""
JOIN = "+join"
"""The receiver adds its ``channel`` to ``group``."""
LEAVE = "+leave"
"""The receiver removes its ``channel`` from ``group``."""
LOST = "+lost"
"""The server no longer lists the receiver under ``group``: the receiver registers again."""
FLUSH = "+flush"
"""The receiver drops every message and membership, and sends FLUSHED to the inbox ``channel``."""
FLUSHED = "+flushed"
"""The process whose inbox is ``channel`` has done what FLUSH asks for."""

MAX_CONTROL_FRAME = 131_072
"""Bytes of a control message: room for ``CALLS_PER_NOTICE`` names of ``MAX_LENGTH`` characters."""
CALLS_PER_NOTICE = 1000
"""Calls named in one cancel notice: 20 KB, which any server and any worker takes."""
MAX_NAME = 1000
"""Characters of a group or a channel of the Channels layer. A site may allow longer names than ``MAX_LENGTH``."""
MAX_TOKEN = 64
"""Characters of the token of a flush: a UUID has 32."""

_Prefix = Annotated[str, msgspec.Meta(max_length=MAX_LENGTH, pattern=r"\A[a-zA-Z\d\-_.]+!\Z")]
_Unique = Annotated[str, msgspec.Meta(max_length=MAX_LENGTH, pattern=r"\A[\d\w\-_.]+\Z")]
_Calls = Annotated[list[_Unique], msgspec.Meta(min_length=1, max_length=CALLS_PER_NOTICE)]
_Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]


class Cancellation(msgspec.Struct, frozen=True, gc=False):
    """A cancel notice: the caller cancelled the calls whose reply channels are ``prefix`` + each of ``calls``.

    Attributes:
        type: CANCEL.
        prefix: what the reply channels have in common, up to and including the ``!``.
        calls: what stands after the ``!`` in each of them. None is empty: a message without a reply channel is no call.
    """

    type: Literal["+cancel"]
    prefix: _Prefix
    calls: _Calls


class CancellationFrame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One element of an inbox with a cancel notice in it."""

    fence: int
    expires: int
    local: Literal["+cancel"]
    message: Cancellation


class ControlMessage(msgspec.Struct, frozen=True):
    """A control message of the Channels layer.

    Attributes:
        type: JOIN, LEAVE, LOST, FLUSH or FLUSHED.
        group: the group; for FLUSH and FLUSHED a token that both have in common.
        channel: a channel of the receiver; for FLUSH and FLUSHED the inbox of the sender.
    """

    type: str
    group: _Name = ""
    channel: _Name = ""


class ControlFrame(msgspec.Struct, frozen=True, array_like=True):
    """A frame with a control message of the Channels layer in it."""

    fence: int
    expires: int
    local: str
    message: ControlMessage


_decode_cancellation = msgspec.msgpack.Decoder(CancellationFrame).decode
_decode_control = msgspec.msgpack.Decoder(ControlFrame).decode


def cancelled_calls(frame: bytes) -> set[str]:
    """The reply channels of the calls that a cancel notice names, ``CALLS_PER_NOTICE`` of them at most.

    Raises:
        MalformedFrame: the frame does not hold a cancel notice, or one of its fields is out of its limits.
    """
    _check_size(frame)
    try:
        notice = _decode_cancellation(frame).message
    except UNDECODABLE as error:
        raise MalformedFrame(str(error)) from error
    longest = MAX_LENGTH - len(notice.prefix)  # a longer name is no channel
    return {notice.prefix + unique for unique in notice.calls if len(unique) < longest}


def read_control_message(frame: bytes, inbox: str) -> ControlMessage:
    """The control message of the Channels layer in a frame that came to ``inbox``.

    Raises:
        MalformedFrame: the frame does not hold a control message, or a field holds what cannot be right there.
    """
    _check_size(frame)
    try:
        parsed = _decode_control(frame)
    except UNDECODABLE as error:
        raise MalformedFrame(str(error)) from error
    message = parsed.message
    if message.type != parsed.local:
        raise MalformedFrame("type and local name of a control message differ")
    _check(message.type in (JOIN, LEAVE, LOST, FLUSH, FLUSHED), "a control message of an unknown type")
    _check(bool(message.group), "group is empty")
    if message.type in (JOIN, LEAVE):
        _check(_is_local_to(message.channel, inbox), "channel belongs to another process")
    elif message.type in (FLUSH, FLUSHED):
        _check(len(message.group) <= MAX_TOKEN, f"group is over the {MAX_TOKEN} characters of a token")
        _check(is_inbox(message.channel), "channel is not the name of an inbox")
    return message


def group_of(local: str) -> str:
    """The group in the local name of a message for the members of a group.

    Raises:
        MalformedFrame: the name is empty or too long.
    """
    _check(len(FAN_OUT) < len(local) <= MAX_NAME, f"the name of a group has not 1 to {MAX_NAME} characters")
    return local[len(FAN_OUT) :]


def is_inbox(name: str) -> bool:
    """Whether ``name`` can be that of a process's inbox: ``<process>!``."""
    process = name[:-1]
    legal = name.endswith("!") and process.isascii() and len(name) < MAX_LENGTH
    return legal and process.replace("-", "").replace("_", "").isalnum()


def _is_local_to(channel: str, inbox: str) -> bool:
    target, local = split_address(channel)
    return target == inbox and bool(local)


def _check_size(frame: bytes) -> None:
    if len(frame) > MAX_CONTROL_FRAME:
        raise MalformedFrame(f"{len(frame)} bytes, over the limit of {MAX_CONTROL_FRAME} for a control message")


def _check(condition: bool, reason: str) -> None:
    if not condition:
        raise MalformedFrame(reason)
