"""Events: publish to n subscribing services in one process, and wait until each of them has received every copy.

Latency is from just before ``publish`` to the handler, on the machine's monotonic clock, which the two processes share.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from asyncio.subprocess import Process
from typing import Any

from servicebus import ServiceBus

from ..load import closed_loop
from ..options import add_repeats, positive_int
from ..peers.base import embedded_server, module_command
from ..pipes import answer, ask
from ..processes import process
from ..progress import say
from ..report.charts import Chart, Lines, percentile_chart
from ..report.document import Report, column, metric
from ..report.text import figure
from ..report.text import table as as_table

EVENTS_IN_FLIGHT = 64
"""Events that are published at once in a burst: enough to keep the publisher busy."""
ANSWER_WITHIN = 60.0
"""Seconds for an answer of the subscribers' process, which may have thousands of events to handle first."""
STARTS_WITHIN = 60.0
"""Seconds until all subscribers are registered, a hundred of them on a busy machine."""
POLL_INTERVAL = 0.002
"""Seconds between two questions whether all copies have arrived: short beside a burst."""
NEXT_COPY_WITHIN = 5.0
"""Seconds without a further copy, after which the missing ones count as lost: longer than a busy machine pauses."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the scenario."""
    parser.add_argument("--subscribers", type=positive_int, nargs="+", default=[1, 10, 100], metavar="N")
    parser.add_argument("--copies", type=positive_int, default=20_000, help="delivered per burst (default 20000)")
    add_repeats(parser)


async def run(options: argparse.Namespace) -> Report:
    """Measure bursts, and events one at a time, for each number of subscribers.

    Cancelling is safe: all processes end.
    """
    results: dict[str, list[dict[str, Any]]] = {}
    for count in options.subscribers:
        command = module_command("bench.subscribers", str(count))
        async with embedded_server() as server, process(*command, server.address, talks=True) as child:
            await answer(child, STARTS_WITHIN)
            async with ServiceBus(server.address, service="publisher") as bus:
                await _burst(bus, child, 10, EVENTS_IN_FLIGHT, count)
                results[str(count)] = [await _measured(bus, child, count, options) for _ in range(options.repeats)]
        say(f"{count} subscribers done")
    return {"scenario": "events", "results": results, "metrics": _metrics(results)}


async def _measured(bus: ServiceBus, child: Process, count: int, options: argparse.Namespace) -> dict[str, Any]:
    events = max(1, options.copies // count)
    alone = await _burst(bus, child, min(events, 200), 1, count)
    burst = await _burst(bus, child, events, EVENTS_IN_FLIGHT, count)
    return burst | {"p50_alone_ms": alone["p50_ms"], "p99_alone_ms": alone["p99_ms"]}


async def _burst(bus: ServiceBus, child: Process, events: int, in_flight: int, copies: int) -> dict[str, Any]:
    started = time.perf_counter()
    published = await closed_loop(lambda body: _publish(bus), "", in_flight, calls=events)
    result = await _delivered(child, events * copies)
    result["deliveries_per_second"] = result["received"] / (time.perf_counter() - started)
    result["events_per_second"] = events / published.elapsed
    return result | {"missed": events * copies - result["received"]}


async def _publish(bus: ServiceBus) -> None:
    await bus.publish("bench.tick", {"sent": time.perf_counter()})


async def _delivered(child: Process, expected: int) -> dict[str, Any]:
    """Return the subscribers' figures when they have all copies, or when no further copy has come for a while."""
    received, seen_at = 0, time.monotonic()
    while time.monotonic() - seen_at < NEXT_COPY_WITHIN:
        count = (await ask(child, {"kind": "count"}, ANSWER_WITHIN))["received"]
        if count >= expected:
            break
        if count > received:
            received, seen_at = count, time.monotonic()
        await asyncio.sleep(POLL_INTERVAL)
    return await ask(child, {"kind": "take"}, ANSWER_WITHIN)


def _metrics(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for count, rows in results.items():
        for key, unit in (("deliveries_per_second", "deliveries/s"), ("events_per_second", "events/s")):
            found[f"{count} subscribers: {key}"] = metric(column(rows, key), unit, "higher")
        for key in ("p50_alone_ms", "p99_alone_ms", "p50_ms", "p99_ms"):
            found[f"{count} subscribers: {key}"] = metric(column(rows, key), "ms", "lower")
    return found


KEYS = ("events_per_second", "deliveries_per_second", "p50_alone_ms", "p99_alone_ms", "p99_ms")


def table(report: Report) -> str:
    """Return a table with a line per number of subscribers."""
    metrics = report["metrics"]
    rows = [
        [count, *(figure(metrics[f"{count} subscribers: {key}"]["median"]) for key in KEYS), _missed(rows)]
        for count, rows in report["results"].items()
    ]
    head = ("subscribers", "events/s", "deliveries/s", "p50 ms, one at a time", "p99 ms", "p99 ms in a burst", "missed")
    return as_table(head, rows)


def _missed(rows: list[dict[str, Any]]) -> str:
    return str(sum(row["missed"] for row in rows))


def charts(report: Report) -> list[Chart]:
    """Return deliveries by subscribers, and the latency of bursts."""
    metrics = report["metrics"]
    named = {"deliveries": "deliveries_per_second", "events": "events_per_second"}
    series = {
        name: [(float(count), metrics[f"{count} subscribers: {key}"]["median"]) for count in report["results"]]
        for name, key in named.items()
    }
    curves = {f"{count} subscribers": column(rows, "histogram") for count, rows in report["results"].items()}
    return [
        Lines("Events by number of subscribers", "subscribers", "per second", series, log_x=True, log_y=True),
        percentile_chart("Latency by percentile, in bursts", curves),
    ]
