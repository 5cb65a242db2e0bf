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


class Calls(Generic[CallT]):
    """Pending calls. Adding and removing cost one dict operation each in two dicts, however many there are.

    Deadlines are kept in slots of ``slot_ms``: a call is reported at its deadline or up to that much later. A slot
    holds only calls that are still pending, so a million finished calls leave nothing behind.
    """

    __slots__ = ("_due", "_pending", "_slot_ms", "_slots", "limit")

    def __init__(self, limit: int, slot_ms: int = 8) -> None:
        self.limit = limit
        self._slot_ms = slot_ms
        self._pending: dict[str, CallT] = {}
        self._slots: dict[int, dict[str, CallT]] = {}
        self._due: list[int] = []

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def full(self) -> bool:
        return len(self._pending) >= self.limit

    def add(self, call: CallT) -> None:
        assert call.id not in self._pending
        self._pending[call.id] = call
        slot = call.deadline_ms // self._slot_ms
        slots = self._slots
        if slot in slots:
            slots[slot][call.id] = call
        else:
            slots[slot] = {call.id: call}
            heappush(self._due, slot)

    def pop(self, call_id: str) -> CallT | None:
        """Remove and return the pending call, None when there is none: a late, forged or second reply."""
        call = self._pending.pop(call_id, None)
        if call is not None:
            number = call.deadline_ms // self._slot_ms
            slot = self._slots.get(number)
            if slot is not None:
                slot.pop(call_id, None)
                if not slot:
                    self._drop(number)
        return call

    def _drop(self, number: int) -> None:
        """An empty slot goes at once, what the heap still says of it when that is most of what the heap says."""
        del self._slots[number]
        if len(self._due) > 2 * len(self._slots) + 64:
            self._due = list(self._slots)
            heapify(self._due)

    @property
    def next_due_ms(self) -> int | None:
        """The instant to ask ``expired`` next, None when nothing can expire."""
        return (self._due[0] + 1) * self._slot_ms if self._due else None

    def expired(self, now_ms: int) -> list[CallT]:
        """The pending calls whose deadline has passed, each reported once. They stay pending until popped."""
        calls: list[CallT] = []
        while self._due and (self._due[0] + 1) * self._slot_ms <= now_ms:
            calls += self._slots.pop(heappop(self._due), {}).values()
        return calls

    def drain(self) -> list[CallT]:
        """Remove and return every pending call."""
        calls = list(self._pending.values())
        self._pending.clear()
        self._slots.clear()
        self._due.clear()
        return calls
