"""Closed loop: ours beside the floors, the same server without a bus. See ``bench.floor``."""

from __future__ import annotations

import argparse

from ..options import add_body, add_in_flight, add_repeats
from ..peers import FLOORS, OURS
from ..report.document import Report
from .closed import charts, closed_table, measure

__all__ = ["add_arguments", "charts", "run", "table"]

table = closed_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the scenario."""
    add_in_flight(parser, 1, 256)
    add_repeats(parser)
    add_body(parser)


async def run(options: argparse.Namespace) -> Report:
    """Measure ours and the floors, side by side. Cancelling is safe: all processes end."""
    measured = await measure([OURS, *FLOORS], options)
    return {"scenario": "floor", **measured}
