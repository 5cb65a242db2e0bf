"""The state machine of a circuit breaker, over outcomes and instants. It has no clock and never waits."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class State(StrEnum):
    """Closed lets every message through, open none, half-open a few probes."""

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
"""Every transition. A change that is not listed for a state cannot happen in that state."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The limits of a circuit.

    Attributes:
        failures: failures that open the circuit.
        of: outcomes among which failures are counted: the last ones.
        within: seconds after which an outcome no longer counts.
        rest: seconds that the circuit stays open.
        probes: messages let through at once when it is half-open. As many good outcomes close it.
    """

    failures: int
    of: int
    within: float
    rest: float
    probes: int


class Circuit:
    """The circuit of one channel. Every permit from ``admit`` must be given to ``settle`` once."""

    __slots__ = ("_bad", "_epoch", "_good", "_opens_at", "_outcomes", "_probing", "_tolerance", "state")

    def __init__(self, tolerance: Tolerance) -> None:
        self._tolerance = tolerance
        self.state = State.CLOSED
        self._outcomes: deque[tuple[float, bool]] = deque()
        # When each counted outcome came, and whether it was good; only while closed.
        self._bad = 0  # failures among the outcomes
        self._good = 0  # good outcomes of probes; only while half-open
        self._probing = 0  # probes in flight; only while half-open
        self._epoch = 0  # changes of state so far; a permit carries the epoch that it was given in
        self._opens_at = 0.0  # when the next probe is let through; only while open

    def admit(self, now: float) -> int | None:
        """Return a permit to send one message, None when the message is refused."""
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
        """Record the outcome of a message. It is not counted when the state has changed since the message was admitted.

        Args:
            permit: the permit of the message, from ``admit``.
            healthy: whether the channel answered, None when the outcome does not show it, such as a cancellation.
            now: the instant, in seconds.
        """
        if permit != self._epoch:
            return
        if self.state is State.HALF_OPEN:
            self._probed(healthy, now)
        elif healthy is not None:
            self._note(healthy, now)

    def retry_after(self, now: float) -> float:
        """Return the seconds until a probe is let through, 0 while probes are in flight."""
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
