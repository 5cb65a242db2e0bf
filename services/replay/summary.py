"""The summary of a replay: one JSON object, or a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from .outcomes import ZERO, Books, Outcome
from .plan import Plan


class Latency(Struct, frozen=True):
    """Milliseconds from the start of a step to its outcome; 0 if there was no step."""

    p50: float
    p90: float
    p99: float
    max: float


class Summary(Struct, frozen=True):
    """The fields of ``servicebus demo --json``, in their order. Money has two places; stock is in units.

    ``invoices`` = ``sales`` + ``returns``, and ``sales`` = ``skipped`` + ``confirmed`` + the rejected sales. A
    return that could not be recorded counts in ``rejected`` as ``return_<reason>``.
    """

    invoices: int
    sales: int
    skipped: int
    confirmed: int
    rejected: dict[str, int]
    returns: int
    invalid_lines: dict[str, int]
    charged: Decimal
    refunded: Decimal
    stock_opening: int
    stock_closing: int
    calls: int
    seconds: float
    orders_per_second: float
    latency_ms: Latency

    def json(self) -> str:
        """Return the summary as one JSON object."""
        return msgspec.json.encode(self).decode()


def summarise(
    plan: Plan, outcomes: Sequence[Outcome], opening: Books, closing: Books, calls: int, seconds: float
) -> Summary:
    """Add up the outcomes of a replay. ``seconds`` is the time of the steps."""
    sales = [outcome for outcome in outcomes if outcome.is_sale]
    return Summary(
        invoices=plan.sales + plan.returns,
        sales=plan.sales,
        skipped=len(plan.skipped),
        confirmed=sum(outcome.is_done for outcome in sales),
        rejected=rejected(outcomes),
        returns=plan.returns,
        invalid_lines=dict(plan.invalid_lines.items()),
        charged=amount(sales),
        refunded=amount(outcome for outcome in outcomes if not outcome.is_sale),
        stock_opening=opening.on_hand,
        stock_closing=closing.on_hand,
        calls=calls,
        seconds=round(seconds, 3),
        orders_per_second=round(len(sales) / seconds, 1) if seconds > 0 else 0.0,
        latency_ms=latency([outcome.seconds for outcome in outcomes]),
    )


def amount(outcomes: Iterable[Outcome]) -> Decimal:
    """Return the money of the confirmed and credited steps, with two places."""
    return sum((outcome.amount for outcome in outcomes if outcome.is_done), ZERO).quantize(ZERO)


def rejected(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Count the failed steps by reason, in alphabetical order."""
    reasons = (("" if each.is_sale else "return_") + each.reason for each in outcomes if not each.is_done)
    return dict(sorted(Counter(reasons).items()))


def latency(seconds: Iterable[float]) -> Latency:
    """Return nearest-rank percentiles of durations in seconds."""
    ranked = sorted(1000 * each for each in seconds) or [0.0]
    p50, p90, p99 = (ranked[max(0, -(-len(ranked) * percent // 100) - 1)] for percent in (50, 90, 99))
    return Latency(*(round(value, 3) for value in (p50, p90, p99, ranked[-1])))


def table(summary: Summary) -> str:
    """Return the figures of a summary as a table for people."""
    rows = {
        "invoices": f"{summary.invoices:,}  ({summary.sales:,} sales, {summary.returns:,} returns)",
        "confirmed": f"{summary.confirmed:,}",
        "rejected": _counts(summary.rejected),
        "skipped": f"{summary.skipped:,}  (no valid line)",
        "invalid lines": _counts(summary.invalid_lines),
        "charged": f"{summary.charged:,}",
        "refunded": f"{summary.refunded:,}",
        "stock": f"{summary.stock_opening:,} units at the start, {summary.stock_closing:,} at the end",
        "time": f"{summary.seconds:.2f} s, {summary.orders_per_second:,.0f} orders/s, {summary.calls:,} calls",
        "latency": ", ".join(f"{name} {value:.1f} ms" for name, value in asdict(summary.latency_ms).items()),
    }
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def _counts(counts: Mapping[str, int]) -> str:
    parts = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
    return f"{sum(counts.values()):,}  ({parts})" if parts else "0"
