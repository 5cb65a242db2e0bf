"""Projects more workers and servers: the model of ``bench.model`` on the report of ``python -m bench scale``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..echo import WORK
from ..model import COMMANDS_ALONE, ROLES, TOLERANCE, Cost, Costs, Point, check, fitted, projected, speedup
from ..report.document import Report
from ..report.text import figure, table
from .scale import IN_FLIGHT, IN_FLIGHT_WORKING

HANDLERS_US = (0.0, WORK * 1e6)
"""Microseconds of a handler: none, and those of the ``work`` operation."""
HINTS = {
    "workers": "add workers",
    "server": "another primary: partition the channel",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the scenario."""
    parser.add_argument("report", type=Path, help="made by: python -m bench scale --json FILE")
    parser.add_argument("--cores", type=float, default=2.0, help="of the machine that made it (default 2)")
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--primaries", type=int, nargs="+", default=[3, 10, 30, 100])
    parser.add_argument("--channels", type=int, nargs="+", default=[1, 10, 100, 1000])


def main(options: argparse.Namespace) -> int:
    """Print the costs, the check and the projections. Return 1 if a measured point lies outside its bounds, else 0."""
    report: Report = json.loads(options.report.read_text())
    costs = costs_of(report)
    unmeasured = [role for role, cost in costs.items() if cost == Cost(0.0, 0.0)]
    if unmeasured:
        print(f"the report has no processor time of the {unmeasured[0]}: measure it for longer, with --seconds")
        return 1
    checked = list(check(costs, list(points_of(report)), options.cores))
    print("\n\n".join([_costs(costs), _checked(checked), _projected(costs, options), _cluster(options)]))
    return 0 if all(holds for _, _, holds in checked) else 1


def costs_of(report: Report) -> dict[str, Cost]:
    """Return the costs, fitted to one call at a time and to the most calls in flight."""
    metrics = report["metrics"]
    counts = sorted(report["results"]["in flight"], key=int)

    def at(count: str, role: str) -> tuple[float, float]:
        name = f"in flight {count}"
        return metrics[f"{name}: commands_sent"]["median"], metrics[f"{name}: cpu {role}"]["median"]

    return {role: fitted(at(counts[0], role), at(counts[-1], role)) for role in ROLES}


def points_of(report: Report) -> Iterator[Point]:
    """Yield the points that the report measured with small bodies: in flight, workers, and work."""
    for count in report["results"]["in flight"]:
        yield _point(report, f"in flight {count}", int(count), 1, 0.0)
    for count in report["results"].get("workers", ()):
        yield _point(report, f"workers {count}", IN_FLIGHT, int(count), 0.0)
    for count in report["results"].get("work", ()):
        yield _point(report, f"work {count}", IN_FLIGHT_WORKING, int(count), WORK * 1e6)


def _point(report: Report, name: str, in_flight: int, workers: int, handler_us: float) -> Point:
    metrics: dict[str, Any] = report["metrics"]
    commands, measured = (metrics[f"{name}: {key}"]["median"] for key in ("commands_sent", "calls_per_second"))
    return Point(name, in_flight, workers, commands, handler_us, measured)


def _costs(costs: Costs) -> str:
    rows = [[role, figure(cost.per_call), figure(cost.per_command)] for role, cost in costs.items()]
    return "processor time, µs\n" + table(("", "per call", "per command"), rows)


def _checked(checked: list[Any]) -> str:
    rows = [
        [
            point.name,
            figure(point.measured),
            figure(found.low),
            figure(found.high),
            found.bottleneck,
            "holds" if ok else "DOES NOT HOLD",
        ]
        for point, found, ok in checked
    ]
    head = ("", "measured", "low", "high", "first full", f"within {TOLERANCE:.0%}")
    return "bounds on this machine, calls/s\n" + table(head, rows)


def _projected(costs: Costs, options: argparse.Namespace) -> str:
    shapes = {
        "many in flight at few callers": COMMANDS_ALONE / IN_FLIGHT,
        "one in flight at many callers": COMMANDS_ALONE,
    }
    rows = []
    for shape, commands in shapes.items():
        for handler_us in HANDLERS_US:
            for workers in options.workers:
                one = projected(costs, workers, handler_us, commands)
                numbers = [figure(one.by_workers), figure(one.by_server), f"{one.primaries:.1f}"]
                idle = f"{one.idle_share:.1%}"
                rows.append([shape, f"{handler_us / 1000:g}", str(workers), *numbers, idle, HINTS[one.bottleneck]])
    head = ("calls come", "handler ms", "workers", "they can", "one primary can", "primaries", "idle load", "then")
    return "one channel on one primary, a core per process, calls/s\n" + table(head, rows)


def _cluster(options: argparse.Namespace) -> str:
    rows = [
        [str(primaries), *(f"{speedup(primaries, channels):.1f}" for channels in options.channels)]
        for primaries in options.primaries
    ]
    head = ("primaries", *(f"{channels} channels" for channels in options.channels))
    return "a Cluster: how many primaries' work it does before its busiest is full\n" + table(head, rows)
