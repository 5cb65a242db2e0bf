"""The states of orders and returns, as a table. Pure.

    placed ─▶ reserved ─▶ charged ─▶ committed ─▶ confirmed        recorded ─▶ received ─▶ credited
       └──────────┴──────────┴───────────┴────────────┴─▶ undoing ─▶ rejected | cancelled

A status names the last step that certainly happened; the step after it may have happened too. An order is undone if a
service refuses a step, if the order is cancelled, or if it was half-way for too long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .contract import OrderStatus

ReturnStatus = Literal["recorded", "received", "credited"]
Status = OrderStatus | ReturnStatus

TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    "placed": frozenset({"reserved", "undoing"}),
    "reserved": frozenset({"charged", "undoing"}),
    "charged": frozenset({"committed", "undoing"}),
    "committed": frozenset({"confirmed", "undoing"}),
    "confirmed": frozenset({"undoing"}),
    "undoing": frozenset({"rejected", "cancelled"}),
    "rejected": frozenset(),
    "cancelled": frozenset(),
    "recorded": frozenset({"received"}),
    "received": frozenset({"credited"}),
    "credited": frozenset(),
}
FINAL: frozenset[Status] = frozenset({"confirmed", "rejected", "cancelled", "credited"})
HALF_WAY: frozenset[Status] = frozenset(TRANSITIONS) - FINAL
CANCELLED_FROM: frozenset[Status] = frozenset(status for status, after in TRANSITIONS.items() if "undoing" in after)
GIVEN_UP_FROM: frozenset[Status] = frozenset({"placed", "reserved", "charged"})
"""The statuses that a reconciler undoes. After "committed" no step is left that could fail."""

CANCELLED = "cancelled"
GIVEN_UP = "given_up"


def can_move(before: Status, after: Status) -> bool:
    """Whether ``after`` may follow ``before``."""
    return after in TRANSITIONS[before]


def undone_as(reason: str) -> OrderStatus:
    """The final status of an order that is undone for ``reason``."""
    return "cancelled" if reason == CANCELLED else "rejected"
