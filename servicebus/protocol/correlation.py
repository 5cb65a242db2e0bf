"""The correlation table: pending calls by ID, and which of them are past their deadline."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar


class Expiring(Protocol):
    """What the table holds: anything with an ID and a deadline, in milliseconds on the table's clock."""

    @property
    def id(self) -> str: ...

    @property
    def deadline_ms(self) -> int: ...


CallT = TypeVar("CallT", bound=Expiring)

MIN_SWEEP = 1024
"""Calls that ended, at least, between two sweeps of the slots: a sweep costs as much as all pending calls."""


class Calls(Generic[CallT]):
    """Pending calls. Adding one costs a dict and a list entry, removing it the dict entry, however many there are.

    Deadlines are kept in slots of ``slot_ms``: a call is reported at its deadline or up to that much later. A slot may
    still name calls that have ended; they are swept out when they are most of what the slots name.
    """

    __slots__ = ("_due", "_ended", "_pending", "_slot_ms", "_slots", "_sweep_at", "limit")

    def __init__(self, limit: int, slot_ms: int = 8) -> None:
        self.limit = limit
        self._slot_ms = slot_ms
        self._pending: dict[str, CallT] = {}
        self._slots: dict[int, list[str]] = {}
        self._due: list[int] = []
        self._ended, self._sweep_at = 0, MIN_SWEEP

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def full(self) -> bool:
        return len(self._pending) >= self.limit

    def add(self, call: CallT) -> bool:
        """Enter a call. Returns whether ``next_due_ms`` may have become earlier."""
        self._pending[call.id] = call
        number = call.deadline_ms // self._slot_ms
        slot = self._slots.get(number)
        if slot is not None:
            slot.append(call.id)
            return False
        self._slots[number] = [call.id]
        heappush(self._due, number)
        return True

    def pop(self, call_id: str) -> CallT | None:
        """Remove and return the pending call, None when there is none: a late, forged or second reply."""
        call = self._pending.pop(call_id, None)
        if call is not None:
            self._ended += 1
            if self._ended >= self._sweep_at:
                self._sweep()
        return call

    def _sweep(self) -> None:
        pending = self._pending
        named = {number: [name for name in slot if name in pending] for number, slot in self._slots.items()}
        self._slots = {number: slot for number, slot in named.items() if slot}
        self._due = list(self._slots)
        heapify(self._due)
        self._ended, self._sweep_at = 0, 4 * len(pending) + MIN_SWEEP

    @property
    def next_due_ms(self) -> int | None:
        """The instant at which to ask ``expired`` next, in milliseconds; None when nothing can expire."""
        return (self._due[0] + 1) * self._slot_ms if self._due else None

    def expired(self, now_ms: int) -> list[CallT]:
        """The pending calls whose deadline has passed, each reported once. They stay pending until popped."""
        calls: list[CallT] = []
        while self._due and (self._due[0] + 1) * self._slot_ms <= now_ms:
            named = self._slots.pop(heappop(self._due))
            calls += [self._pending[name] for name in named if name in self._pending]
        return calls

    def drain(self) -> list[CallT]:
        """Remove and return every pending call."""
        calls = list(self._pending.values())
        self._pending.clear()
        self._sweep()
        return calls
