from __future__ import annotations

import json

from services.replay.outcomes import Books
from services.replay.plan import Plan
from services.replay.summary import latency, summarise, table

from ....support.replay.samples import SUMMARY_FIELDS, returned, sold

OUTCOMES = (
    sold("1", 2, "2"),
    sold("2", 9, "0.00", "out_of_stock", 0.03),
    sold("3", 1, "1.10"),
    returned("C4", 1, "0.50", seconds=0.02),
    sold("5", 1, "0.00", "no_workers"),
    sold("6", 9, "0.00", "out_of_stock"),
    returned("C7", 1, "0.00", "unavailable"),
)
PLAN = Plan({}, {}, tuple(each.step for each in OUTCOMES), 6, 3, ("8",), {"quantity_not_positive": 2})


def test_the_json_object_has_exactly_the_fields_in_their_order() -> None:
    summary = summarise(PLAN, OUTCOMES, Books(100, 0), Books(98, 0), calls=12, seconds=2.0)
    found = json.loads(summary.json())
    assert " ".join(found) == SUMMARY_FIELDS
    assert found == {
        "invoices": 9,
        "sales": 6,
        "skipped": 1,
        "confirmed": 2,
        "rejected": {"no_workers": 1, "out_of_stock": 2, "return_unavailable": 1},
        "returns": 3,
        "invalid_lines": {"quantity_not_positive": 2},
        "charged": "3.10",
        "refunded": "0.50",
        "stock_opening": 100,
        "stock_closing": 98,
        "calls": 12,
        "seconds": 2.0,
        "orders_per_second": 2.5,
        "latency_ms": {"p50": 10.0, "p90": 30.0, "p99": 30.0, "max": 30.0},
    }


def test_a_day_without_orders_is_all_zeros() -> None:
    summary = summarise(Plan({}, {}, (), 0, 0, (), {}), (), Books(0, 0), Books(0, 0), calls=4, seconds=0.0)
    found = json.loads(summary.json())
    assert (found["charged"], found["orders_per_second"], found["rejected"]) == ("0.00", 0.0, {})
    assert found["latency_ms"] == {"p50": 0.0, "p90": 0.0, "p99": 0.0, "max": 0.0}


def test_percentiles_are_nearest_rank() -> None:
    spread = latency([number / 1000 for number in range(100, 0, -1)])
    assert (spread.p50, spread.p90, spread.p99, spread.max) == (50.0, 90.0, 99.0, 100.0)


def test_the_table_says_the_same() -> None:
    text = table(summarise(PLAN, OUTCOMES, Books(1000, 0), Books(998, 0), calls=12, seconds=2.0))
    assert "rejected       4  (1 no_workers, 2 out_of_stock, 1 return_unavailable)\n" in text
    assert "stock          1,000 units at the start, 998 at the end\n" in text
    assert text.endswith("latency        p50 10.0 ms, p90 30.0 ms, p99 30.0 ms, max 30.0 ms")
