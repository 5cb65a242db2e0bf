"""Whether a message that a worker took may start: one decision from facts, and one table of what each decision means.

``decide`` is pure. ``Admission`` collects the facts about a frame; it reads no clock and does no I/O. The dispatcher
acts: it counts, logs, answers and starts.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from itertools import islice
from typing import NamedTuple

import msgspec

from ..errors import MessageTooLarge, Overloaded
from . import error_codes
from .codec import decode_raw
from .codel import Codel
from .envelope import NO_BODY, IncomingRequest, OutgoingError, RequestFrame
from .replay_guard import Replays, Verdict

MAX_CANCELLED = 65_536
"""Cancelled calls remembered at once: as many as one process may have pending, and some ten megabytes."""


class Decision(Enum):
    """What becomes of one message. Of several reasons to refuse, the one that stands first here counts."""

    DROP_FENCED = "another primary took the message, so it may have run already"
    DROP_EXPIRED_SIGNED = "a signed frame has expired, so copies of it are no longer recognized"
    DROP_COPY = "the frame is the copy of one that was taken before"
    DROP_UNREMEMBERED = "too many are remembered, or it expires in over an hour: a copy of it could run too"
    DROP_CANCELLED = "the caller went away"
    ANSWER_EXPIRED = "the message is past its deadline or its expiry"
    ANSWER_TOO_LARGE = "the frame is over the size limit"
    ANSWER_SHED = "the queue is standing, and this message waited too long in it"
    START = "nothing speaks against it"


class Facts(NamedTuple):
    """What there is to know about one message. The two callables change state, so they are asked last, and once.

    Attributes:
        resurrected: a promoted replica handed out what another primary had taken.
        keep_resurrected: such messages run all the same (``on_failover="keep"``).
        remembers: copies of signed frames can be recognized here.
        expired: the frame's expiry has passed.
        late: the caller's deadline has passed.
        cancelled: the caller has gone away.
        too_large: the frame is over the limit.
        remember: whether the frame is "new", a "known" copy, or could not be remembered: "full".
        is_shed: whether CoDel refuses a message of this age now.
    """

    resurrected: bool
    keep_resurrected: bool
    remembers: bool
    expired: bool
    late: bool
    cancelled: bool
    too_large: bool
    remember: Callable[[], Verdict]
    is_shed: Callable[[], bool]


def decide(facts: Facts) -> Decision:
    """The decision about one message. Reasons are looked at in the order in which ``Decision`` lists them."""
    if facts.resurrected and not facts.keep_resurrected:
        return Decision.DROP_FENCED
    if facts.remembers:
        if facts.expired:
            return Decision.DROP_EXPIRED_SIGNED
        verdict = facts.remember()
        if verdict != "new":
            return Decision.DROP_COPY if verdict == "known" else Decision.DROP_UNREMEMBERED
    if facts.cancelled:
        return Decision.DROP_CANCELLED
    if facts.expired or facts.late:
        return Decision.ANSWER_EXPIRED
    if facts.too_large:
        return Decision.ANSWER_TOO_LARGE
    return Decision.ANSWER_SHED if facts.is_shed() else Decision.START


class Consequence(NamedTuple):
    """What a decision against a message means.

    Attributes:
        counter: the field of ``telemetry.Counters`` that counts it.
        is_logged: it is logged as a warning; the others are part of normal operation and only counted.
    """

    counter: str
    is_logged: bool = False


CONSEQUENCES = {
    Decision.DROP_FENCED: Consequence("fenced_frames"),
    Decision.DROP_EXPIRED_SIGNED: Consequence("expired_messages"),
    Decision.DROP_COPY: Consequence("rejected_frames", is_logged=True),
    Decision.DROP_UNREMEMBERED: Consequence("rejected_frames", is_logged=True),
    Decision.DROP_CANCELLED: Consequence("cancelled"),
    Decision.ANSWER_EXPIRED: Consequence("expired_messages"),
    Decision.ANSWER_TOO_LARGE: Consequence("rejected_frames", is_logged=True),
    Decision.ANSWER_SHED: Consequence("shed_messages"),
}
"""Every decision but START. One that drops gives no answer: the caller would be misled, or has gone."""


class Admission:
    """Admits the messages of one channel. It holds what is known about messages taken before.

    Args:
        max_size: bytes that a frame may have.
        keep_resurrected: what another primary has taken starts all the same.
        replays: remembers signed frames, None when frames are not signed.
        codel: watches the queue, None when it is not watched.
        running_ms: how much of an age in milliseconds this process was running. A worker that stood still has not been
            too slow.

    Attributes:
        inspects_all: every message must be looked at, because signed frames are remembered or a queue is watched.
        cancelled: reply channels of calls whose callers have gone away a moment ago, ``MAX_CANCELLED`` at most.
        resurrected: reply channels of messages that start although another primary had taken them. Their errors must
            not claim "not executed": the first copy may have run.
    """

    __slots__ = (
        "_codel",
        "_keep_resurrected",
        "_max_size",
        "_replays",
        "_running_ms",
        "cancelled",
        "inspects_all",
        "resurrected",
    )

    def __init__(
        self,
        *,
        max_size: int,
        keep_resurrected: bool,
        replays: Replays | None,
        codel: Codel | None,
        running_ms: Callable[[float], float] = float,
    ) -> None:
        self._max_size = max_size
        self._keep_resurrected = keep_resurrected
        self._replays = replays
        self._codel = codel
        self._running_ms = running_ms
        self.inspects_all = codel is not None or replays is not None
        self.cancelled: set[str] = set()
        self.resurrected: set[str] = set()

    def decide(self, parsed: RequestFrame, frame: bytes, fence: int, now_ms: int) -> Decision:
        """The decision about a frame that was popped from the primary with ``fence``, at the instant ``now_ms``."""
        message, replays = parsed.message, self._replays
        resurrected = bool(parsed.fence and fence and parsed.fence != fence)
        decision = decide(
            Facts(
                resurrected=resurrected,
                keep_resurrected=self._keep_resurrected,
                remembers=replays is not None,
                expired=now_ms >= parsed.expires,
                late=bool(message.deadline) and now_ms >= message.deadline,
                cancelled=bool(message.reply_channel) and message.reply_channel in self.cancelled,
                too_large=len(frame) > self._max_size,
                remember=lambda: "new" if replays is None else replays.take(frame, parsed.expires, now_ms),
                is_shed=lambda: self._is_shed(parsed, now_ms),
            )
        )
        if resurrected and message.reply_channel and decision not in _DROPS:
            self.resurrected.add(message.reply_channel)
        return decision

    def remember_cancelled(self, reply_channels: set[str]) -> set[str]:
        """Remember calls that were cancelled, as far as there is room: a call that is not remembered may start.

        Returns:
            The calls that are to be taken out of ``cancelled`` again.
        """
        room = MAX_CANCELLED - len(self.cancelled)
        added = set(islice(reply_channels - self.cancelled, max(0, room)))
        self.cancelled |= added
        return added

    def answer(self, decision: Decision, message: IncomingRequest, size: int) -> OutgoingError | None:
        """What the caller is answered, None when it gets no answer. ``size`` is that of the frame, in bytes."""
        match decision:
            case Decision.ANSWER_EXPIRED:
                return error_codes.expired()
            case Decision.ANSWER_TOO_LARGE:
                return error_codes.refused(MessageTooLarge(size, self._max_size))
            case Decision.ANSWER_SHED:
                return error_codes.refused(Overloaded(message.type, "its queue is standing"))
        return None

    def _is_shed(self, parsed: RequestFrame, now_ms: int) -> bool:
        if self._codel is None or not parsed.sent:
            return False
        return self._codel.sheds(self._running_ms(now_ms - parsed.sent), now_ms)


_DROPS = frozenset(decision for decision in Decision if decision.name.startswith("DROP"))


def with_body(frame: bytes, message: IncomingRequest) -> IncomingRequest:
    """A message without a body is its own body, as a plain Channels consumer sends it."""
    if message.body is not NO_BODY:
        return message
    return msgspec.structs.replace(message, body=decode_raw(frame, len(frame)).message)
