"""What processes tell one another in their inboxes: a frame whose local name is no channel's."""

from __future__ import annotations

import msgspec

from ..protocol.codec import MalformedFrame

FAN_OUT = "*"
"""``*<group>``: a copy for the members of the group."""
JOIN, LEAVE, LOST, FLUSH, FLUSHED = "+join", "+leave", "+lost", "+flush", "+flushed"
WORDS = frozenset({JOIN, LEAVE, LOST, FLUSH, FLUSHED})


class Word(msgspec.Struct, frozen=True):
    """JOIN and LEAVE: ``channel`` of the receiver and ``group``. LOST: the receiver is in ``group`` no more.

    FLUSH: forget what you hold, and tell FLUSHED to the inbox ``channel``. ``group`` is what they have in common.
    """

    type: str
    group: str = ""
    channel: str = ""


class WordFrame(msgspec.Struct, frozen=True, array_like=True):
    """A frame with a word in it."""

    fence: int
    expires: int
    local: str
    message: Word


_decode = msgspec.msgpack.Decoder(WordFrame).decode


def read_word(frame: bytes) -> Word:
    """Raises MalformedFrame for anything else."""
    try:
        return _decode(frame).message
    except msgspec.DecodeError as error:
        raise MalformedFrame(str(error)) from error
