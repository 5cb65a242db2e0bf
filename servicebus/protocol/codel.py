"""When a worker refuses what has waited too long: CoDel, as a state machine over ages and instants."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shedding:
    """When a queue counts as standing, and what is refused while it does.

    Attributes:
        target: seconds. A queue whose youngest message of an interval had waited longer is standing.
        interval: seconds over which that is judged. A burst that is worked off within one is no overload.
    """

    target: float = 0.005
    interval: float = 0.1


class Codel:
    """Fed with the age of every message that is taken, in order of the instants, in milliseconds.

    While the queue is standing, a message older than twice the target is shed. So the queue is worked off at the speed
    of refusing, and those that come fresh are served.
    """

    __slots__ = ("_ends", "_interval", "_least", "_standing", "_target")

    def __init__(self, config: Shedding) -> None:
        self._target, self._interval = config.target * 1000, config.interval * 1000
        self._least = 0.0
        self._ends = 0.0
        self._standing = False

    def sheds(self, age_ms: float, now_ms: float) -> bool:
        """Whether to refuse a message of this age."""
        if now_ms >= self._ends:
            # An interval without a message, or without one that waited, leaves no queue standing.
            in_time = now_ms < self._ends + self._interval
            self._standing = in_time and self._least > self._target
            self._ends, self._least = now_ms + self._interval, age_ms
        elif age_ms < self._least:
            self._least = age_ms
        return self._standing and age_ms > 2 * self._target
