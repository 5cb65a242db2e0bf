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

    A hit is one dict lookup in C, because messages wait for it: so this is a dict. Emptying costs less than keeping an
    order of use, and a forgotten value is computed again. Use ``lru.LruTable`` for values that should last longer. Do
    not use a memo for keys that outsiders choose when a value is expensive to compute.
    """

    __slots__ = ("_compute", "_limit")

    def __init__(self, compute: Callable[[Key], Value], limit: int = MAX_ENTRIES) -> None:
        super().__init__()
        self._compute = compute
        self._limit = limit

    def __missing__(self, key: Key) -> Value:
        value = self._compute(key)
        if len(self) >= self._limit:
            self.clear()
        self[key] = value
        return value
