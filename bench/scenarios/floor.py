"""Closed loop: ours beside what the same server can do without us, see ``bench.floor``."""

from __future__ import annotations

import argparse

from ..options import add_body, add_in_flight, add_repeats
from ..peers import FLOORS, OURS
from ..report.document import Report
from .closed import charts, closed_table, measure

__all__ = ["add_arguments", "charts", "run", "table"]

table = closed_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_in_flight(parser, 1, 256)
    add_repeats(parser)
    add_body(parser)


async def run(options: argparse.Namespace) -> Report:
    """Ours and the floors, side by side. Cancelling is safe."""
    measured = await measure([OURS, *FLOORS], options)
    return {"scenario": "floor", **measured}
