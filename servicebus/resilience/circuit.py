"""When a channel counts as broken: a state machine over outcomes and instants. It knows no clock and never waits."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class State(StrEnum):
    """Closed lets everything through, open nothing, half-open a few probes."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


Change = Literal["tripped", "rested", "relapsed", "proven"]

TRANSITIONS: dict[tuple[State, Change], State] = {
    (State.CLOSED, "tripped"): State.OPEN,
    (State.OPEN, "rested"): State.HALF_OPEN,
    (State.HALF_OPEN, "relapsed"): State.OPEN,
    (State.HALF_OPEN, "proven"): State.CLOSED,
}
"""All there are."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a circuit bears.

    Attributes:
        failures: so many of the last ``of`` outcomes, none older than ``within`` seconds, and it opens.
        rest: seconds that it stays open.
        probes: messages let through at once when it is half-open; as many good outcomes close it.
    """

    failures: int
    of: int
    within: float
    rest: float
    probes: int


class Circuit:
    """That of one channel. Every permit from ``admit`` must come back to ``settle``, once."""

    __slots__ = ("_bad", "_epoch", "_good", "_opens_at", "_outcomes", "_probing", "_tolerance", "state")

    def __init__(self, tolerance: Tolerance) -> None:
        self._tolerance = tolerance
        self.state = State.CLOSED
        self._outcomes: deque[tuple[float, bool]] = deque()
        self._bad = self._good = self._probing = self._epoch = 0
        self._opens_at = 0.0

    def admit(self, now: float) -> int | None:
        """A permit to send one message, None when it is refused."""
        if self.state is State.OPEN and now >= self._opens_at:
            self._change("rested", now)
        if self.state is State.OPEN:
            return None
        if self.state is State.HALF_OPEN:
            if self._probing >= self._tolerance.probes:
                return None
            self._probing += 1
        return self._epoch

    def settle(self, permit: int, healthy: bool | None, now: float) -> None:
        """What became of a message: None when it says nothing about the channel, as when it was cancelled.

        What was let through in an earlier state says nothing about this one.
        """
        if permit != self._epoch:
            return
        if self.state is State.HALF_OPEN:
            self._probed(healthy, now)
        elif healthy is not None:
            self._note(healthy, now)

    def retry_after(self, now: float) -> float:
        """Seconds until a probe is let through; 0 when probes are on their way."""
        return max(0.0, self._opens_at - now) if self.state is State.OPEN else 0.0

    def _probed(self, healthy: bool | None, now: float) -> None:
        self._probing -= 1
        if healthy is False:
            self._change("relapsed", now)
        elif healthy:
            self._good += 1
            if self._good >= self._tolerance.probes:
                self._change("proven", now)

    def _note(self, healthy: bool, now: float) -> None:
        outcomes, tolerance = self._outcomes, self._tolerance
        while outcomes and (len(outcomes) >= tolerance.of or outcomes[0][0] <= now - tolerance.within):
            self._bad -= not outcomes.popleft()[1]
        outcomes.append((now, healthy))
        self._bad += not healthy
        if self._bad >= tolerance.failures:
            self._change("tripped", now)

    def _change(self, change: Change, now: float) -> None:
        self.state = TRANSITIONS[self.state, change]
        self._epoch += 1
        self._outcomes.clear()
        self._bad = self._good = self._probing = 0
        self._opens_at = now + self._tolerance.rest
