"""Open loop: calls at given rates. Latency counts from the instant at which a call was due."""

from __future__ import annotations

import argparse
from typing import Any

from ..fleet import System, fleet, warm_up
from ..options import add_body, add_repeats, positive
from ..peers import MODULES, OURS, load
from ..progress import say
from ..quiet import Quiet
from ..report.charts import Chart, percentile_chart
from ..report.document import Report, column, ratio_metric, row_metrics
from ..report.text import figure
from ..report.text import table as as_table
from .closed import left_out

Rows = dict[str, dict[str, list[dict[str, Any]]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the scenario."""
    parser.add_argument("--rates", type=positive, nargs="+", default=[1000.0, 5000.0, 20000.0], metavar="PER_SECOND")
    parser.add_argument("--arrivals", nargs="+", default=["constant", "poisson"], choices=["constant", "poisson"])
    add_repeats(parser, seconds=3.0)
    add_body(parser)
    parser.add_argument("--peers", nargs="*", default=[OURS, "floor"], choices=list(MODULES), metavar="NAME")


async def run(options: argparse.Namespace) -> Report:
    """Measure every rate and kind of arrivals on every system, interleaved. Cancelling is safe: all processes end."""
    results: Rows = {name: {} for name in options.peers}
    async with fleet([load(name).PEER for name in options.peers], Quiet(options.patience)) as (systems, absent):
        for repeat in range(options.repeats):
            for arrivals in options.arrivals:
                for rate in options.rates:
                    for name, one in systems.items():
                        row = await at_rate(one, rate, options.seconds, options.body, arrivals, repeat)
                        results[name].setdefault(f"{rate:g}/s {arrivals}", []).append(row)
                say(f"repeat {repeat + 1} of {options.repeats}: {arrivals} arrivals done")
    metrics = _metrics(results)
    return {"scenario": "load", "body_bytes": options.body, "absent": absent, "results": results, "metrics": metrics}


def _metrics(results: Rows) -> dict[str, Any]:
    """Return the metrics of each load, and our latency as a ratio to every other system under the same load."""
    found: dict[str, Any] = {}
    for name, by_load in results.items():
        for load_name, rows in by_load.items():
            found |= row_metrics(f"{name}, {load_name}", rows)
            ours = results.get(OURS, {}).get(load_name)
            if ours and name != OURS:
                pair = column(ours, "p50_ms"), column(rows, "p50_ms")
                found[f"servicebus / {name}, {load_name}: p50_ms"] = ratio_metric(*pair, "lower")
    return found


async def at_rate(
    one: System, rate: float, seconds: float, body: int, arrivals: str = "poisson", seed: int = 0
) -> dict[str, Any]:
    """Run one open loop after a warm-up at the same rate.

    Cancelling is not safe: the system must be ended.

    Raises:
        ChildFailed: the driver failed or did not answer in time.
    """
    request = {"kind": "open", "rate": rate, "body": body, "arrivals": arrivals, "seed": seed}
    await one.quiet.wait()
    await one.load(**request, seconds=warm_up(seconds))
    return await one.load(**request, seconds=seconds)


def table(report: Report) -> str:
    """Return the medians, a line per system and load."""
    rows = [
        [name, load_name, *cells(report["metrics"], f"{name}, {load_name}", repeats), _ours(report, name, load_name)]
        for name, by_load in report["results"].items()
        for load_name, repeats in by_load.items()
    ]
    return "\n".join([as_table(("", "load", *HEAD, "ours, p50"), rows), *left_out(report)])


def _ours(report: Report, name: str, load_name: str) -> str:
    found = report["metrics"].get(f"servicebus / {name}, {load_name}: p50_ms")
    return figure(found["median"]) if found else "-"


HEAD = ("calls/s", "p50 ms", "p99 ms", "failed", "not sent")


def cells(metrics: dict[str, Any], name: str, repeats: list[dict[str, Any]]) -> list[str]:
    """Return the cells of a line of an open loop."""
    medians = [figure(metrics[f"{name}: {key}"]["median"]) for key in ("calls_per_second", "p50_ms", "p99_ms")]
    return [*medians, *(str(sum(row[key] for row in repeats)) for key in ("failed", "shed"))]


def charts(report: Report) -> list[Chart]:
    """Return a percentile curve per load."""
    loads = list(next(iter(report["results"].values()), {}))
    return [
        percentile_chart(
            f"Latency by percentile, {load_name}",
            {
                name: [row["histogram"] for row in by_load[load_name]]
                for name, by_load in report["results"].items()
                if load_name in by_load
            },
        )
        for load_name in loads
    ]
