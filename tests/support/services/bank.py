"""A payment provider that remembers what it moved, and whose line can be cut before or after it moved it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Literal

from services.pricing.provider import Declined


class LineCut(Exception):
    """The bank cannot be reached, or its answer was lost."""


class Bank:
    """A payment provider in memory, with switches for its faults.

    ``declines`` makes it refuse charges, ``cut`` makes it fail before or after the next move, ``meanwhile`` runs
    first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget every payment and every fault."""
        self.taken: dict[str, Decimal] = {}
        self.given_back: dict[str, Decimal] = {}
        self.asked: list[tuple[str, str]] = []
        self.declines = ""
        self.cut: Literal["", "before", "after"] = ""
        self.meanwhile: Callable[[], object] | None = None

    def charge(self, payment_id: str, amount: Decimal) -> None:
        """Take the amount, once per payment."""
        self._ask("charge", self.taken, payment_id, amount)

    def refund(self, payment_id: str, amount: Decimal) -> None:
        """Give the amount back, once per payment."""
        assert self.taken.get(payment_id) == amount, "a refund of what was never taken"
        self._ask("refund", self.given_back, payment_id, amount)

    def _ask(self, operation: str, moved: dict[str, Decimal], payment_id: str, amount: Decimal) -> None:
        cut, self.cut = self.cut, ""
        self.asked.append((operation, payment_id))
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        if cut == "before":
            raise LineCut
        if operation == "charge" and self.declines:
            raise Declined(self.declines)
        with self._lock:
            assert moved.setdefault(payment_id, amount) == amount, "one payment, two amounts"
        if cut == "after":
            raise LineCut
