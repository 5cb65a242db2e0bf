"""The decision whether a log line repeats an earlier one. It has no clock: the caller passes the instant."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Subject = TypeVar("Subject", bound=Hashable)


class RepeatFilter(Generic[Subject]):
    """Lets each subject through once in an interval, and at most ``limit`` subjects in one.

    Args:
        interval: seconds.
        limit: subjects that are remembered.
    """

    def __init__(self, interval: float, limit: int) -> None:
        self._interval = interval
        self._limit = limit
        self._reported: dict[Subject, float] = {}
        """When each subject was let through."""

    def __len__(self) -> int:
        return len(self._reported)

    def lets_through(self, subject: Subject, now: float) -> bool:
        """Return whether to report a subject now, and remember that it was reported."""
        if subject in self._reported and self._is_recent(self._reported[subject], now):
            return False
        if len(self._reported) >= self._limit:
            self._reported = {known: at for known, at in self._reported.items() if self._is_recent(at, now)}
        if len(self._reported) >= self._limit:
            return False
        self._reported[subject] = now
        return True

    def _is_recent(self, at: float, now: float) -> bool:
        return now - at < self._interval
