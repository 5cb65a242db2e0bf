"""What a call costs with more workers, more channels, larger bodies, and a handler that computes for a millisecond."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from servicebus.config import DEFAULT_MAX_MESSAGE_SIZE
from servicebus.errors import LARGEST_MESSAGE

from ..fleet import fleet
from ..options import add_repeats, positive_int
from ..peers import Peer
from ..peers.ours import variant
from ..progress import say
from ..quiet import Quiet
from ..report.charts import Bars, Chart
from ..report.document import Report, column, ratio_metric, row_metrics
from ..report.text import table as as_table
from .closed import HEAD, row

BODY = 100
"""Bytes of a body, except in the group that varies it: a usual small request."""
BODIES = (BODY, 1024, 8192, DEFAULT_MAX_MESSAGE_SIZE)
"""Bytes of the bodies that are compared, up to one that needs a larger ``max_message_size``."""
IN_FLIGHT = 256
"""Calls in flight, except in the group that varies them: enough to saturate one worker."""
IN_FLIGHT_WORKING = 64
"""Calls in flight for large bodies and slow handlers: enough to saturate two workers."""
WORKING_CREDIT = 8
"""Messages that a worker with a slow handler may hold. With few, the workers share the calls evenly."""
GROUPS = ("in flight", "workers", "channels", "body", "work")
Rows = dict[str, list[dict[str, Any]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the scenario."""
    parser.add_argument("--in-flight", type=positive_int, nargs="+", default=[1, 16, 256], metavar="N")
    parser.add_argument("--workers", type=positive_int, nargs="+", default=[1, 2, 4], metavar="N")
    parser.add_argument("--channels", type=positive_int, nargs="+", default=[1, 10, 100], metavar="N")
    parser.add_argument("--bodies", type=positive_int, nargs="+", default=list(BODIES), metavar="BYTES")
    parser.add_argument("--working", type=positive_int, nargs="+", default=[1, 2], metavar="WORKERS")
    parser.add_argument("--groups", nargs="+", default=list(GROUPS), choices=GROUPS)
    add_repeats(parser)


async def run(options: argparse.Namespace) -> Report:
    """Measure one group after the other, interleaved within each. Cancelling is safe: all processes end."""
    groups = {
        "in flight": {str(count): (variant("echo"), count, BODY) for count in options.in_flight},
        "workers": {
            str(count): (variant(f"{count} workers", workers=count), IN_FLIGHT, BODY) for count in options.workers
        },
        "channels": {
            str(count): (variant(f"{count} channels", channels=count), IN_FLIGHT, BODY) for count in options.channels
        },
        "body": {
            str(size): (variant("large bodies", largest=LARGEST_MESSAGE), IN_FLIGHT_WORKING, size)
            for size in options.bodies
        },
        "work": {
            str(count): (
                variant(f"work {count}", workers=count, operation="work", concurrency=WORKING_CREDIT),
                IN_FLIGHT_WORKING,
                BODY,
            )
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
    """Measure every point of a group in turn, ``repeats`` times. Points may share a system."""
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
    """Return a line per point; the last column is its throughput as a ratio to the first point of its group."""
    rows = []
    for group, points in report["results"].items():
        first = next(iter(points))
        for name in points:
            ratio = f"{group} {name} / {first}: calls_per_second"
            rows.append([group, name, *row(report["metrics"], f"{group} {name}", ratio)])
    return as_table(("", "", *HEAD[2:-1], "ratio"), rows)


def charts(report: Report) -> list[Chart]:
    """Return throughput by point, a chart per group."""
    metrics = report["metrics"]

    def bar(name: str) -> tuple[float, float, float]:
        one = metrics[f"{name}: calls_per_second"]
        return one["median"], one["low"], one["high"]

    return [
        Bars(f"Calls per second by {group}", "calls/s", {name: bar(f"{group} {name}") for name in points})
        for group, points in report["results"].items()
    ]
