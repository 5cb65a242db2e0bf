"""Latency against rate, up to saturation: a closed loop finds saturation, open loops measure the latency below it.

Saturation is the throughput of the closed loop at 256 in flight in this run.
"""

from __future__ import annotations

import argparse
from typing import Any

from ..fleet import System, fleet
from ..options import add_body, add_repeats, positive
from ..peers import MODULES, OURS, load
from ..progress import say
from ..quiet import Quiet
from ..report.charts import Chart, Lines, percentile_chart
from ..report.document import Report, column, metric, row_metrics
from ..report.text import table as as_table
from ..stats import median
from .closed import left_out
from .load import HEAD, at_rate, cells

IN_FLIGHT_AT_SATURATION = 256
"""Calls in flight of the closed loop whose throughput counts as saturation."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the scenario."""
    shares = [0.1, 0.25, 0.5, 0.75, 0.9, 1.0]
    parser.add_argument("--shares", type=positive, nargs="+", default=shares, help="of saturation")
    add_repeats(parser)
    add_body(parser)
    parser.add_argument("--peers", nargs="*", default=[OURS, "floor"], choices=list(MODULES), metavar="NAME")


async def run(options: argparse.Namespace) -> Report:
    """Measure saturation, then every share of it, interleaved. Cancelling is safe: all processes end."""
    results: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name in options.peers}
    saturation: dict[str, list[float]] = {}
    async with fleet([load(name).PEER for name in options.peers], Quiet(options.patience)) as (systems, absent):
        for name, one in systems.items():
            saturation[name] = await _saturation(one, options)
            say(f"{name}: saturation at {median(saturation[name]):,.0f} calls/s")
        for repeat in range(options.repeats):
            for share in options.shares:
                for name, one in systems.items():
                    rate = share * median(saturation[name])
                    row = await at_rate(one, rate, options.seconds, options.body, seed=repeat)
                    results[name].setdefault(f"{share:g}", []).append(row | {"rate": rate})
            say(f"repeat {repeat + 1} of {options.repeats} done")
    common = {"scenario": "sweep", "body_bytes": options.body, "absent": absent}
    return common | {"results": results, "metrics": _metrics(results, saturation)}


async def _saturation(one: System, options: argparse.Namespace) -> list[float]:
    rows = [await one.closed(IN_FLIGHT_AT_SATURATION, options.seconds, options.body) for _ in range(options.repeats)]
    return column(rows, "calls_per_second")


def _metrics(results: dict[str, dict[str, list[dict[str, Any]]]], saturation: dict[str, list[float]]) -> dict[str, Any]:
    found = {f"{name}: saturation": metric(rates, "calls/s", "higher") for name, rates in saturation.items()}
    for name, by_share in results.items():
        for share, rows in by_share.items():
            found |= row_metrics(f"{name}, {share} of saturation", rows)
    return found


def table(report: Report) -> str:
    """Return the medians, a line per system and share."""
    rows = [
        [
            name,
            share,
            f"{repeats[0]['rate']:,.0f}",
            *cells(report["metrics"], f"{name}, {share} of saturation", repeats),
        ]
        for name, by_share in report["results"].items()
        for share, repeats in by_share.items()
    ]
    return "\n".join([as_table(("", "of saturation", "rate", *HEAD), rows), *left_out(report)])


def charts(report: Report) -> list[Chart]:
    """Return latency against rate, and our percentile curves."""
    metrics = report["metrics"]
    series = {
        f"{name} {key.removesuffix('_ms')}": [
            (rows[0]["rate"], metrics[f"{name}, {share} of saturation: {key}"]["median"])
            for share, rows in by_share.items()
        ]
        for name, by_share in report["results"].items()
        for key in ("p50_ms", "p99_ms")
    }
    ours = {f"{share} of saturation": column(rows, "histogram") for share, rows in report["results"][OURS].items()}
    return [
        Lines("Latency against rate", "calls/s, open loop", "ms", series, log_x=True, log_y=True),
        percentile_chart("servicebus: latency by percentile", ours),
    ]
