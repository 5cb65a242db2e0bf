"""A bounded number of places and a queue for them, as decisions only. The waiting itself is done by the bulkhead."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Who = TypeVar("Who", bound=Hashable)


class Gate(Generic[Who]):
    """``limit`` places, and at most ``queue`` who wait, first come first served.

    There is a queue only while all places are taken. A place that gets free belongs to the first in the queue at once.
    """

    __slots__ = ("_limit", "_queue", "_waiting", "inside")

    def __init__(self, limit: int, queue: int) -> None:
        self._limit = limit
        self._queue = queue
        self._waiting: dict[Who, None] = {}
        self.inside = 0

    @property
    def waiting(self) -> int:
        """How many are in the queue."""
        return len(self._waiting)

    def enter(self) -> bool:
        """Take a place. Return False when all are taken."""
        if self.inside >= self._limit:
            return False
        self.inside += 1
        return True

    def join(self, who: Who) -> bool:
        """Join the queue, after ``enter`` returned False. Return False when the queue is full."""
        assert self.inside == self._limit
        if len(self._waiting) >= self._queue:
            return False
        self._waiting[who] = None
        return True

    def leave(self) -> Who | None:
        """Give a place back. Return who has it now, None when the queue was empty."""
        if not self._waiting:
            self.inside -= 1
            return None
        following = next(iter(self._waiting))
        del self._waiting[following]
        return following

    def withdraw(self, who: Who) -> bool:
        """Leave the queue. Return False when ``who`` has a place by now and must give that back."""
        if who not in self._waiting:
            return False
        del self._waiting[who]
        return True
