"""What the closed-loop scenarios share: systems side by side, their table, and our ratio to each of them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from ..fleet import Measured, fleet, interleaved
from ..peers import OURS, load
from ..quiet import Quiet
from ..report.charts import Bars, Chart, Lines, percentile_chart
from ..report.document import Better, Report, column, ratio_metric, row_metrics
from ..report.text import figure, table


async def measure(names: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """Return the results, metrics and absences of an interleaved closed loop. Cancelling is safe: all processes end."""
    async with fleet([load(name).PEER for name in names], Quiet(options.patience)) as (systems, absent):
        results, failed = await interleaved(
            systems,
            options.in_flight,
            options.repeats,
            lambda one, count: one.closed(count, options.seconds, options.body),
        )
    return {"body_bytes": options.body, "absent": absent | failed, "results": results, "metrics": metrics(results)}


def metrics(results: Measured) -> dict[str, Any]:
    """Return the metrics of each system, and our ratio to every other system."""
    found: dict[str, Any] = {}
    for name, by_count in results.items():
        for count, rows in by_count.items():
            found |= row_metrics(f"{name}, {count} in flight", rows)
            if name != OURS and rows and results.get(OURS, {}).get(count):
                found |= _ratios(name, count, results[OURS][count], rows)
    return found


RATIOS: Mapping[str, Better] = {"calls_per_second": "higher", "p50_ms": "lower"}


def _ratios(name: str, count: int, ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    named = f"servicebus / {name}, {count} in flight"
    return {
        f"{named}: {key}": ratio_metric(column(ours, key), column(theirs, key), better)
        for key, better in RATIOS.items()
    }


KEYS = (
    *("calls_per_second", "p50_ms", "p99_ms", "cpu client", "cpu worker", "cpu server"),
    *("commands_sent", "net_bytes"),
)
HEAD = (
    "",
    "in flight",
    "calls/s",
    "p50 ms",
    "p99 ms",
    "CPU µs client",
    "worker",
    "server",
    "commands",
    "bytes",
    "ours",
)


def closed_table(report: Report) -> str:
    """Return the medians, a line per system and concurrency; ``ours`` is our throughput as a ratio to that line."""
    rows = [
        [name, str(count), *row(report["metrics"], f"{name}, {count} in flight", _ours(name, count))]
        for name, counts in report["results"].items()
        for count in counts
    ]
    return "\n".join([table(HEAD, rows), *left_out(report)])


def _ours(name: str, count: int | str) -> str:
    return f"servicebus / {name}, {count} in flight: calls_per_second"


def left_out(report: Report) -> list[str]:
    """Return a line for each system that was left out."""
    return [f"{name} is left out: {reason}" for name, reason in report["absent"].items()]


def row(metrics: dict[str, Any], name: str, ratio: str) -> list[str]:
    """Return the cells of one load: its medians, and the ratio of that name."""

    def cell(key: str) -> str:
        found = metrics.get(key)
        return figure(found["median"]) if found else "-"

    return [*(cell(f"{name}: {key}") for key in KEYS), cell(ratio)]


def charts(report: Report) -> list[Chart]:
    """Return throughput by concurrency, and bars and latency curves for each concurrency."""
    found: list[Chart] = [_throughput(report)]
    counts = sorted({count for by_count in report["results"].values() for count in by_count}, key=int)
    found += [_bars(report, count) for count in counts]
    found += [_curves(report, count) for count in counts]
    return found


def _throughput(report: Report) -> Lines:
    metrics = report["metrics"]
    series = {
        name: [(float(count), metrics[f"{name}, {count} in flight: calls_per_second"]["median"]) for count in counts]
        for name, counts in report["results"].items()
        if counts
    }
    return Lines("Throughput by concurrency", "calls in flight", "calls/s", series, log_x=True, log_y=True)


def _bars(report: Report, count: int | str) -> Bars:
    metrics = report["metrics"]
    named = {name: metrics.get(f"{name}, {count} in flight: calls_per_second") for name in report["results"]}
    bars = {name: (one["median"], one["low"], one["high"]) for name, one in named.items() if one}
    return Bars(f"Calls per second, {count} in flight", "calls/s, median and 95 % interval", bars)


def _curves(report: Report, count: int | str) -> Chart:
    series = {
        name: [row["histogram"] for row in by_count[count]]
        for name, by_count in report["results"].items()
        if by_count.get(count)
    }
    return percentile_chart(f"Latency by percentile, {count} in flight", series)
