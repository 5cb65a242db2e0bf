"""A report is plain data: what JSON holds, and what table, charts and comparison are made of.

Its ``metrics`` map a name to the values of all repeats, their unit and which direction is better; ``results`` hold
whatever else a scenario measured, by repeat.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ..stats import estimate, ratio

Better = Literal["higher", "lower"]
Report = dict[str, Any]

ROW_METRICS: Mapping[str, tuple[str, Better]] = {
    "calls_per_second": ("calls/s", "higher"),
    "p50_ms": ("ms", "lower"),
    "p99_ms": ("ms", "lower"),
    "commands_sent": ("commands/call", "lower"),
    "net_bytes": ("bytes/call", "lower"),
}


def metric(values: Sequence[float], unit: str, better: Better) -> dict[str, Any]:
    """Return one metric: every repeat, and the median with its interval."""
    found = estimate(values)
    return {
        "values": list(values),
        "unit": unit,
        "better": better,
        "median": found.value,
        "low": found.low,
        "high": found.high,
    }


def ratio_metric(ours: Sequence[float], theirs: Sequence[float], better: Better) -> dict[str, Any]:
    """Return the ratio of two metrics whose repeats were interleaved."""
    found = ratio(ours, theirs)
    values = [mine / other for mine, other in zip(ours, theirs, strict=False)]
    whole = {"median": found.value, "low": found.low, "high": found.high}
    return {"values": values, "unit": "ratio", "better": better} | whole


def row_metrics(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the metrics of the repeats of one load."""
    found = {
        f"{name}: {key}": metric([row[key] for row in rows], *ROW_METRICS[key]) for key in ROW_METRICS if key in rows[0]
    }
    for role in rows[0].get("cpu_us", ()):
        found[f"{name}: cpu {role}"] = metric([row["cpu_us"][role] for row in rows], "µs/call", "lower")
    return found


def column(rows: Iterable[Mapping[str, Any]], key: str) -> list[Any]:
    """Return one figure of every repeat."""
    return [row[key] for row in rows]


def middle(report: Report, name: str) -> float:
    """Return the median of a metric."""
    value: float = report["metrics"][name]["median"]
    return value
