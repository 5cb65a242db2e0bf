"""What the server's answers mean, without I/O: what became of a batch, and whether an error will pass by waiting."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import hiredis

from ....errors import Unavailable
from ..connection.connection import ConnectionLost
from ..schema.scripts import MISSING

NOT_TRIED = 2
"""What the withdraw script returns for a frame that it has not looked for yet, because it has done enough."""
NO_WORKERS_REPLY = -1
"""What the send scripts return when a worker is needed and none is registered."""
REDIRECTIONS = ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN")
"""How errors begin by which a Cluster sends a command to another node, now or soon. The command did not run."""
FINAL = ("NOPERM", "NOAUTH", "WRONGPASS", "WRONGTYPE", "ERR")
"""How errors begin that waiting does not cure."""


class Redirected(Unavailable):
    """Another node of the Cluster has what was asked for, or will have it soon. The command did not run."""


class Fate(Enum):
    """What became of a batch."""

    TAKEN = "the channel took every frame"
    PARTLY_TAKEN = "the channel took the first frames and is full now"
    NO_WORKERS = "a worker was needed, and none is registered"
    UNSCRIPTED = "the server has lost the script, so it did not run"
    REDIRECTED = "another node of the Cluster should be asked, now or soon"
    REFUSED = "the server refused the command"
    UNKNOWN = "the connection was lost before the answer came"
    UNEXPECTED = "the answer is none that the script gives, so the answers may have lost their order"


class Verdict(NamedTuple):
    """What became of a batch.

    Attributes:
        fate: what became of it.
        elements: list elements that the channel took.
        number: that of the last element that it took, 0 when the list does not number its frames.
    """

    fate: Fate
    elements: int = 0
    number: int = 0


def verdict(reply: Any, whole: int) -> Verdict:
    """The verdict on a batch.

    Args:
        reply: the answer to the batch's script: how many elements were pushed, or a list of that and the number of the
            last one; an error; or ConnectionLost.
        whole: list elements in the batch.
    """
    if isinstance(reply, ConnectionLost):
        return Verdict(Fate.UNKNOWN)
    if isinstance(reply, hiredis.ReplyError):
        return Verdict(_fate_of(str(reply)))
    if reply == NO_WORKERS_REPLY:
        return Verdict(Fate.NO_WORKERS)
    parts = reply if isinstance(reply, list) and len(reply) == 2 else [reply, 0]
    if not all(type(part) is int for part in parts):
        return Verdict(Fate.UNEXPECTED)
    elements, number = parts
    if not 0 <= elements <= whole or (number != 0 and not is_last_number(number, elements)):
        return Verdict(Fate.UNEXPECTED)
    return Verdict(Fate.TAKEN if elements == whole else Fate.PARTLY_TAKEN, elements, number)


def is_last_number(number: Any, elements: int) -> bool:
    """Whether a number can be that of the last of so many list elements: a list counts from 1."""
    return type(number) is int and number >= elements


def removed(reply: Any, asked: int) -> list[bool]:
    """Which of ``asked`` frames a withdrawal has removed, as far as it came; the rest is to be asked for again.

    An answer that the script does not give has removed none, and is no answer to any.
    """
    if not isinstance(reply, list) or len(reply) != asked or not all(type(one) is int for one in reply):
        return []
    tried = [one for one in reply if one != NOT_TRIED]
    return [one == 1 for one in tried] if set(reply[len(tried) :]) <= {NOT_TRIED} else []


def _fate_of(error: str) -> Fate:
    if error.startswith("NOSCRIPT"):
        return Fate.UNSCRIPTED
    return Fate.REDIRECTED if error.startswith(REDIRECTIONS) else Fate.REFUSED


def refusal(error: Exception) -> Unavailable:
    """What a caller gets for an error of the server: the command did not run. It is retryable when waiting can help."""
    text = str(error)
    if text.startswith(REDIRECTIONS):
        hint = "" if text.startswith("CLUSTERDOWN") else "; this is a Cluster: use redis+cluster://"
        return Redirected(f"the server refused: {text}{hint}")
    if text.startswith("NOSCRIPT"):
        return Unavailable(MISSING)
    return Unavailable(f"the server refused: {text}", retryable=not text.startswith(FINAL))


def not_loaded(error: Exception) -> Unavailable:
    """What a caller gets when the scripts are missing and could not be loaded."""
    denied = str(error).startswith("NOPERM")
    return Unavailable(MISSING if denied else f"the send script could not be loaded: {error}")
