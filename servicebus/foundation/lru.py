"""A bounded table that forgets the value that was not used for the longest time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class LruTable(Generic[Key, Value]):
    """At most ``limit`` values, each made on first use.

    Attributes:
        forgotten: values that were dropped to make room for another.
    """

    __slots__ = ("_limit", "_make", "_values", "forgotten")

    def __init__(self, limit: int, make: Callable[[], Value]) -> None:
        self._limit = limit
        self._make = make
        self._values: dict[Key, Value] = {}  # in the order of their last use
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._values)

    def of(self, key: Key) -> Value:
        """Return the value of ``key``, made if there is none. It counts as used."""
        value = self._values.pop(key, None)
        if value is None:
            value = self._make()
            if len(self._values) >= self._limit:
                del self._values[next(iter(self._values))]
                self.forgotten += 1
        self._values[key] = value
        return value

    def peek(self, key: Key) -> Value | None:
        """Return the value of ``key``, None if there is none. It does not count as used."""
        return self._values.get(key)
