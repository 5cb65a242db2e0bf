"""When the workers of a supervisor are started again. No clock and no processes: instants are given, in seconds."""

from __future__ import annotations

FIRST_DELAY = 0.5
"""Seconds between the death of a worker and the start of the next: a broken worker must not use up the machine."""
LONGEST_DELAY = 30.0
"""Seconds, at most: the delay doubles with each worker that dies early, and what was mended is found soon."""
LIVED_LONG_ENOUGH = 30.0
"""Seconds after which a death does not count as early: the worker had started and served."""
MISCONFIGURED = 78
"""The exit status of a worker that cannot be started with these settings and this code; EX_CONFIG of sysexits.h."""


class Restarts:
    """The places of a supervisor, one for each of its workers. The death of one changes nothing for the others.

    Args:
        places: how many workers there should be.
        now: the present instant.
    """

    def __init__(self, places: int, now: float) -> None:
        # When the next worker of each empty place starts; None while there is one.
        self._due: list[float | None] = [now] * places
        self._started = [now] * places
        self._early_deaths = [0] * places
        # The last worker of this place was misconfigured.
        self._is_misconfigured = [False] * places

    def due(self, now: float) -> list[int]:
        """The numbers of the places whose next worker should start now."""
        return [place for place, instant in enumerate(self._due) if instant is not None and instant <= now]

    def started(self, place: int, now: float) -> None:
        """Note that a worker was started."""
        self._due[place] = None
        self._started[place] = now

    def ended(self, place: int, status: int, now: float) -> float:
        """Note that a worker has ended.

        Args:
            place: its number.
            status: its exit status, negative for a signal.
            now: the present instant.

        Returns:
            The seconds until the next one starts.
        """
        lived_long = now - self._started[place] >= LIVED_LONG_ENOUGH
        self._early_deaths[place] = 0 if lived_long else self._early_deaths[place] + 1
        self._is_misconfigured[place] = status == MISCONFIGURED
        # 2 ** 16 is more than any delay needs, and a float can take it.
        delay: float = min(FIRST_DELAY * 2 ** min(16, max(0, self._early_deaths[place] - 1)), LONGEST_DELAY)
        self._due[place] = now + delay
        return delay

    @property
    def is_hopeless(self) -> bool:
        """Whether no worker lives, and none could be started: only another configuration helps."""
        return all(self._is_misconfigured) and None not in self._due
