"""A bounded table of what is kept for each channel: those used last stay."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class LruTable(Generic[Key, Value]):
    """At most ``limit`` values, each made on first use. ``forgotten`` counts those that had to go for another."""

    __slots__ = ("_limit", "_make", "_values", "forgotten")

    def __init__(self, limit: int, make: Callable[[], Value]) -> None:
        self._limit, self._make = limit, make
        self._values: dict[Key, Value] = {}
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._values)

    def of(self, key: Key) -> Value:
        """The value of ``key``, which thereby is the one used last."""
        value = self._values.pop(key, None)
        if value is None:
            value = self._make()
            if len(self._values) >= self._limit:
                del self._values[next(iter(self._values))]
                self.forgotten += 1
        self._values[key] = value
        return value

    def peek(self, key: Key) -> Value | None:
        """The value of ``key`` if there is one; that counts as no use."""
        return self._values.get(key)
