"""Many calls: the growth of the processes, from the first tenth on, when caches and pools are filled, to the end."""

from __future__ import annotations

import argparse
from typing import Any

from ..fleet import System, system
from ..options import add_body, positive_int
from ..peers import OURS, load
from ..processes import resident_bytes
from ..progress import say
from ..quiet import Quiet
from ..report.charts import Chart, Lines
from ..report.document import Report, metric
from ..report.text import table as as_table

CHUNKS = 50
"""Parts of the run, after each of which memory is read: enough points for a curve."""
LOWEST_RATE = 500.0
"""Calls per second below which a part of the run counts as failed: a fraction of what any machine does."""
START_MARGIN = 30.0
"""Seconds that a part may take beyond its calls."""
MB = 1024 * 1024
"""Bytes of a megabyte, as memory is counted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the scenario."""
    parser.add_argument("--calls", type=positive_int, default=1_000_000, help="default 1000000")
    parser.add_argument("--in-flight", type=positive_int, default=256, metavar="N", help="default 256")
    add_body(parser)


async def run(options: argparse.Namespace) -> Report:
    """Read the resident memory of every process after each part of the run. Cancelling is safe: all processes end."""
    samples: list[dict[str, float]] = []
    chunk = max(options.in_flight, options.calls // CHUNKS)
    done = 0
    async with system(load(OURS).PEER, Quiet(0)) as one:
        while done < options.calls:
            within = START_MARGIN + chunk / LOWEST_RATE
            row = await one.load(
                kind="closed", in_flight=options.in_flight, calls=chunk, body=options.body, within=within
            )
            done += row["calls"]
            samples.append({"calls": done, **_resident(one)})
            if len(samples) % 5 == 0:
                say(f"{done:,} calls: " + ", ".join(f"{role} {size:.1f} MB" for role, size in _resident(one).items()))
    return {"scenario": "soak", "results": samples, "metrics": _metrics(samples)}


def _resident(one: System) -> dict[str, float]:
    return {role: sum(map(resident_bytes, pids)) / MB for role, pids in one.pids.items()}


def growth(samples: list[dict[str, float]], role: str) -> float:
    """Return the megabytes between a tenth of the calls and the last call."""
    tenth = next(sample for sample in samples if sample["calls"] >= samples[-1]["calls"] / 10)
    return samples[-1][role] - tenth[role]


def _metrics(samples: list[dict[str, float]]) -> dict[str, Any]:
    roles = [name for name in samples[0] if name != "calls"]
    grown = {f"{role}: growth": metric([growth(samples, role)], "MB", "lower") for role in roles}
    return grown | {f"{role}: resident": metric([samples[-1][role]], "MB", "lower") for role in roles}


def table(report: Report) -> str:
    """Return the resident memory at a tenth and at the end, by process."""
    samples = report["results"]
    roles = [name for name in samples[0] if name != "calls"]
    rows = [[role, f"{samples[-1][role]:.1f}", f"{growth(samples, role):+.1f}"] for role in roles]
    return as_table((f"after {samples[-1]['calls']:,.0f} calls", "MB resident", "MB since a tenth"), rows)


def charts(report: Report) -> list[Chart]:
    """Return memory against calls."""
    samples: list[dict[str, float]] = report["results"]
    roles = [name for name in samples[0] if name != "calls"]
    series = {role: [(sample["calls"], sample[role]) for sample in samples] for role in roles}
    return [Lines("Resident memory", "calls", "MB", series)]
