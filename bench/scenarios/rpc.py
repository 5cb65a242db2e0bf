"""Closed loop: an echo call with a number in flight, beside the floors of the same run."""

from __future__ import annotations

import argparse

from ..options import add_body, add_in_flight, add_repeats
from ..peers import FLOORS, MODULES, OURS
from ..report.document import Report
from .closed import charts, closed_table, measure

__all__ = ["add_arguments", "charts", "run", "table"]

table = closed_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the scenario."""
    add_in_flight(parser, 1, 16, 256, 4096)
    add_repeats(parser)
    add_body(parser)
    parser.add_argument("--peers", nargs="*", default=[OURS, *FLOORS], choices=list(MODULES), metavar="NAME")


async def run(options: argparse.Namespace) -> Report:
    """Measure calls per second and latency at each concurrency. Cancelling is safe: all processes end."""
    measured = await measure(options.peers, options)
    return {"scenario": "rpc", **measured}
