"""So many places and a line of those who wait for one. It decides; whoever waits does so elsewhere."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Who = TypeVar("Who", bound=Hashable)


class Gate(Generic[Who]):
    """``limit`` places, and at most ``queue`` who wait, first come first served.

    Somebody waits only while all places are taken; a place that gets free belongs to the next at once.
    """

    __slots__ = ("_limit", "_queue", "_waiting", "inside")

    def __init__(self, limit: int, queue: int) -> None:
        self._limit, self._queue = limit, queue
        self._waiting: dict[Who, None] = {}
        self.inside = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def enter(self) -> bool:
        """Take a place. False: there is none."""
        if self.inside >= self._limit:
            return False
        self.inside += 1
        return True

    def join(self, who: Who) -> bool:
        """Wait for a place, after ``enter`` found none. False: too many do."""
        assert self.inside == self._limit
        if len(self._waiting) >= self._queue:
            return False
        self._waiting[who] = None
        return True

    def leave(self) -> Who | None:
        """Give a place back: who has it now, None when nobody waited."""
        if not self._waiting:
            self.inside -= 1
            return None
        following = next(iter(self._waiting))
        del self._waiting[following]
        return following

    def withdraw(self, who: Who) -> bool:
        """Wait no longer. False: ``who`` has been given a place, and must leave it."""
        if who not in self._waiting:
            return False
        del self._waiting[who]
        return True
