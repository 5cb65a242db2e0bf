"""Closed loop: the same echo call over every other system that is here, interleaved with ours and the floors."""

from __future__ import annotations

import argparse

from ..options import add_body, add_in_flight, add_repeats
from ..peers import FLOORS, MODULES, OURS, PEERS
from ..report.document import Report
from .closed import charts, closed_table, measure

__all__ = ["add_arguments", "charts", "run", "table"]

table = closed_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the scenario."""
    add_in_flight(parser, 1, 256)
    add_repeats(parser)
    add_body(parser)
    parser.add_argument(
        "--peers",
        nargs="*",
        default=[*PEERS, *FLOORS],
        choices=[name for name in MODULES if name != OURS],
        metavar="NAME",
    )


async def run(options: argparse.Namespace) -> Report:
    """Measure ours and the peers, side by side. Cancelling is safe: all processes end."""
    measured = await measure([OURS, *options.peers], options)
    return {"scenario": "peers", **measured}
