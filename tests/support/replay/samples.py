"""Outcomes of single steps of the replay, and the fields of its summary."""

from __future__ import annotations

from decimal import Decimal

from services.replay.outcomes import Outcome
from services.replay.plan import PlanLine, Return, Sale

SUMMARY_FIELDS = (
    "invoices sales skipped confirmed rejected returns invalid_lines charged refunded stock_opening stock_closing "
    "calls seconds orders_per_second latency_ms"
)
"""The fields of the JSON summary, in their order."""


def sold(number: str, units: int, amount: str, reason: str = "", seconds: float = 0.01) -> Outcome:
    """Return the outcome of a sale: confirmed, or rejected with a reason."""
    return Outcome(Sale(number, "", (PlanLine("A", units),)), reason, Decimal(amount), seconds)


def returned(number: str, units: int, amount: str, reason: str = "", seconds: float = 0.01) -> Outcome:
    """Return the outcome of a return of goods: accepted, or rejected with a reason."""
    return Outcome(Return(number, "", (PlanLine("A", units),)), reason, Decimal(amount), seconds)
