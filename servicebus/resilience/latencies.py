"""How long an operation takes, from what it took of late."""

from __future__ import annotations

import math
from collections import deque


class Latencies:
    """The last ``window`` durations, and the one that ``share`` of them stay within."""

    __slots__ = ("_fresh", "_known", "_least", "_seconds", "_share")

    def __init__(self, share: float = 0.95, window: int = 128, least: int = 20) -> None:
        self._share, self._least = share, least
        self._seconds: deque[float] = deque(maxlen=window)
        self._known: float | None = None
        self._fresh = 0

    def note(self, seconds: float) -> None:
        self._seconds.append(seconds)
        self._fresh += 1
        # Sorted once for several: the figure is needed for every call, and changes little with each.
        if len(self._seconds) >= self._least and (self._known is None or self._fresh >= self._least):
            ordered = sorted(self._seconds)
            self._known = ordered[math.ceil(self._share * len(ordered)) - 1]
            self._fresh = 0

    @property
    def usual(self) -> float | None:
        """Seconds within which ``share`` of the durations were, None while too few are known."""
        return self._known
