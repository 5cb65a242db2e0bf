"""What a call costs with more workers, more channels, larger bodies, and a handler that computes for a millisecond."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from ..fleet import fleet
from ..options import add_repeats, positive_int
from ..peers import Peer
from ..peers.ours import LARGEST, variant
from ..progress import say
from ..quiet import Quiet
from ..report.charts import Bars, Chart
from ..report.document import Report, column, ratio_metric, row_metrics
from ..report.text import table as as_table
from .closed import HEAD, row

BODY = 100
IN_FLIGHT = 256
WORKING = 64
GROUPS = ("in flight", "workers", "channels", "body", "work")
Rows = dict[str, list[dict[str, Any]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--in-flight", type=positive_int, nargs="+", default=[1, 16, 256], metavar="N")
    parser.add_argument("--workers", type=positive_int, nargs="+", default=[1, 2, 4], metavar="N")
    parser.add_argument("--channels", type=positive_int, nargs="+", default=[1, 10, 100], metavar="N")
    parser.add_argument("--bodies", type=positive_int, nargs="+", default=[100, 1024, 8192, 65_536], metavar="BYTES")
    parser.add_argument("--working", type=positive_int, nargs="+", default=[1, 2], metavar="WORKERS")
    parser.add_argument("--groups", nargs="+", default=list(GROUPS), choices=GROUPS)
    add_repeats(parser)


async def run(options: argparse.Namespace) -> Report:
    """One group after the other, interleaved within each. Cancelling is safe."""
    groups = {
        "in flight": {str(count): (variant("echo"), count, BODY) for count in options.in_flight},
        "workers": {
            str(count): (variant(f"{count} workers", workers=count), IN_FLIGHT, BODY) for count in options.workers
        },
        "channels": {
            str(count): (variant(f"{count} channels", channels=count), IN_FLIGHT, BODY) for count in options.channels
        },
        "body": {str(size): (variant("large bodies", largest=LARGEST), WORKING, size) for size in options.bodies},
        # A worker takes as much as its credit allows: with little of it the work is shared out.
        "work": {
            str(count): (variant(f"work {count}", workers=count, operation="work", concurrency=8), WORKING, BODY)
            for count in options.working
        },
    }
    results: dict[str, Rows] = {}
    quiet = Quiet(options.patience)
    for group in options.groups:
        say(f"{group}: {', '.join(groups[group])}")
        results[group] = await _measured(groups[group], options, quiet)
    return {"scenario": "scale", "absent": {}, "results": results, "metrics": _metrics(results)}


async def _measured(points: Mapping[str, tuple[Peer, int, int]], options: argparse.Namespace, quiet: Quiet) -> Rows:
    """Every point of a group in turn, as often as there are repeats. Points may share a system."""
    wanted = {peer.name: peer for peer, _, _ in points.values()}
    rows: Rows = {name: [] for name in points}
    async with fleet(list(wanted.values()), quiet) as (systems, _):
        for _ in range(options.repeats):
            for name, (peer, in_flight, body) in points.items():
                rows[name].append(await systems[peer.name].closed(in_flight, options.seconds, body))
    return rows


def _metrics(results: dict[str, Rows]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for group, rows in results.items():
        first = next(iter(rows))
        for name, repeats in rows.items():
            found |= row_metrics(f"{group} {name}", repeats)
            if name != first:
                pair = column(repeats, "calls_per_second"), column(rows[first], "calls_per_second")
                found[f"{group} {name} / {first}: calls_per_second"] = ratio_metric(*pair, "higher")
    return found


def table(report: Report) -> str:
    """A line per point; the last column is its throughput as a ratio to the first of its group."""
    rows = []
    for group, points in report["results"].items():
        first = next(iter(points))
        for name in points:
            ratio = f"{group} {name} / {first}: calls_per_second"
            rows.append([group, name, *row(report["metrics"], f"{group} {name}", ratio)])
    return as_table(("", "", *HEAD[2:-1], "ratio"), rows)


def charts(report: Report) -> list[Chart]:
    """Throughput by point, a chart per group."""
    metrics = report["metrics"]

    def bar(name: str) -> tuple[float, float, float]:
        one = metrics[f"{name}: calls_per_second"]
        return one["median"], one["low"], one["high"]

    return [
        Bars(f"Calls per second by {group}", "calls/s", {name: bar(f"{group} {name}") for name in points})
        for group, points in report["results"].items()
    ]
