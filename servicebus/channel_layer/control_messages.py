"""Control messages: how the processes of one prefix keep each other's groups right, through their inboxes.

A control message is a frame whose local name is one that no channel can have: it begins with ``+``. A frame whose local
name begins with ``*`` is not a control message: it holds a message for the members of a group.
"""

from __future__ import annotations

import msgspec

from ..protocol.codec import UNDECODABLE, MalformedFrame

FAN_OUT = "*"
"""``*<group>`` is the local name of a message for the members of a group."""
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


class ControlMessage(msgspec.Struct, frozen=True):
    """One control message.

    Attributes:
        type: JOIN, LEAVE, LOST, FLUSH or FLUSHED.
        group: the group; for FLUSH and FLUSHED a token that both have in common.
        channel: a channel of the receiver; for FLUSH and FLUSHED the inbox of the sender.
    """

    type: str
    group: str = ""
    channel: str = ""


class ControlFrame(msgspec.Struct, frozen=True, array_like=True):
    """A frame with a control message in it."""

    fence: int
    expires: int
    local: str
    message: ControlMessage


_decode = msgspec.msgpack.Decoder(ControlFrame).decode


def read_control_message(frame: bytes) -> ControlMessage:
    """Decode the control message in a frame.

    Raises:
        MalformedFrame: the frame does not hold a control message.
    """
    try:
        return _decode(frame).message
    except UNDECODABLE as error:
        raise MalformedFrame(str(error)) from error
