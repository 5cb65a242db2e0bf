"""When a reader arms its connection, which is to ask for more messages, and what an answer means. No I/O.

A reader has at most one pop outstanding, and it asks for no more than its credit. It asks only the primary that holds
its channel. A worker asks only while it has a connection to send its answers on.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import hiredis

from ....protocol.envelope import TOMBSTONE
from ..connection.connection import ConnectionLost

MAX_PER_POP = 512
"""List elements that one pop asks for, at most: more would occupy the server and the event loop for milliseconds."""
SMALL_POP = 4
"""List elements of a small answer, at most. After a small answer the handlers start before the reader asks for more,
which serves a lone call sooner; after a larger one the reader asks first, so that the server works meanwhile."""
SLOT_PAUSE = 0.05
"""Seconds before a reader asks again while a slot of a Cluster moves but is still here: messages wait no longer."""
DENIED_PAUSE = 1.0
"""Seconds before a reader asks again after NOPERM: somebody has to extend the rights of the user first."""


class Step(Enum):
    """What a reader does next."""

    ASK = "ask for as many messages as there is credit"
    LEAVE = "drop this connection: the channel lives elsewhere now"
    WAIT = "do nothing until something changes"


def next_step(
    credit: int,
    is_stopping: bool,
    is_asking: bool,
    is_leaving: bool,
    is_pausing: bool,
    is_worker: bool,
    has_home: bool,
    is_home: bool,
) -> Step:
    """What the reader does next. Plain parameters: a reader asks this after every pop.

    Args:
        credit: messages that it may ask for.
        is_stopping: it was told to stop.
        is_asking: a pop is outstanding.
        is_leaving: its connection is about to be dropped.
        is_pausing: it waits after a refusal.
        is_worker: its process answers calls.
        has_home: the connection to the primary of its channel, on which answers leave, is there.
        is_home: that is the primary it reads from.
    """
    if credit <= 0 or is_stopping or is_asking or is_leaving or is_pausing:
        return Step.WAIT
    if has_home:
        return Step.ASK if is_home else Step.LEAVE
    # A worker does not take what it could not answer.
    return Step.WAIT if is_worker else Step.ASK


class Reaction(Enum):
    """What a reader does with the answer to a pop."""

    NOTHING = "the connection is gone; the next one starts anew"
    ASK = "nothing was there: ask again"
    DELIVER_FIRST = "a few messages: hand them over, then ask for more"
    ASK_FIRST = "many messages: ask for more, then hand them over"
    PAUSE_FOR_SLOT = "the slot is on its way to another node: ask again soon"
    PAUSE_DENIED = "this user may not read the channel: ask again later"
    LEAVE = "this connection is of no use any more, or its answer is none that a pop has"


REACTIONS: tuple[tuple[str, Reaction], ...] = (
    ("ASK", Reaction.PAUSE_FOR_SLOT),
    ("TRYAGAIN", Reaction.PAUSE_FOR_SLOT),
    ("NOPERM", Reaction.PAUSE_DENIED),
    ("UNBLOCKED client unblocked via CLIENT UNBLOCK", Reaction.ASK),
    ("", Reaction.LEAVE),
)
"""How an error begins, and the reaction; the first match counts. CLIENT UNBLOCK changes nothing. UNBLOCKED by a server
that changed its role, READONLY, MOVED and others match the last: the connection is of no use now, the next may be."""


_FRAME_TYPES = {bytes}


def reaction(reply: Any) -> Reaction:
    """What the answer to a pop means: an error, None after a timeout, or ``[list, elements]``.

    Tombstones are nothing.
    """
    if type(reply) is list:
        elements = reply[1] if len(reply) == 2 else None
        if type(elements) is not list or not _FRAME_TYPES.issuperset(map(type, elements)):
            return Reaction.LEAVE
        if elements.count(TOMBSTONE) == len(elements):
            return Reaction.ASK
        return Reaction.ASK_FIRST if len(elements) > SMALL_POP else Reaction.DELIVER_FIRST
    if reply is None:
        return Reaction.ASK
    if isinstance(reply, ConnectionLost):
        return Reaction.NOTHING
    if isinstance(reply, hiredis.ReplyError):
        text = str(reply)
        return next(found for beginning, found in REACTIONS if text.startswith(beginning))
    return Reaction.LEAVE


def without_tombstones(elements: list[bytes]) -> list[bytes]:
    """The elements of a pop that are messages. A tombstone stands where one was withdrawn."""
    return [one for one in elements if one != TOMBSTONE] if TOMBSTONE in elements else elements
