"""A bounded table of computed values, for values that are cheap to compute again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

MAX_ENTRIES = 10_000
"""Entries: far more names than one process uses, and a few megabytes at most."""


class Memo(dict[Key, Value]):
    """``memo[key]`` computes the value on first use and remembers it. A full table is emptied and starts again.

    A hit is one dict lookup in C, which is why this is a dict: it is used on the hot path. Emptying costs less than
    keeping an order of use, and a value that was forgotten is computed again. ``lru.LruTable`` is for values that must
    not be lost so easily. Not for names that anybody may choose and that are expensive to compute.
    """

    __slots__ = ("_compute", "_limit")

    def __init__(self, compute: Callable[[Key], Value], limit: int = MAX_ENTRIES) -> None:
        super().__init__()
        self._compute, self._limit = compute, limit

    def __missing__(self, key: Key) -> Value:
        value = self._compute(key)
        if len(self) >= self._limit:
            self.clear()
        self[key] = value
        return value
