"""``python -m bench compare BEFORE AFTER``: what changed between two reports, and whether anything got worse.

A metric is worse if its median moved in the wrong direction by more than the threshold, and the interval of the change
does not include "no change". Figures of two runs share no noise: compare runs of one machine, made one after the
other, and trust the ratios more than the rest.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..stats import Estimate, change
from .document import Report
from .text import figure, table


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one metric: ``times`` is the new median as a multiple of the old one.

    ``verdict`` is "worse", "better" or "".
    """

    name: str
    before: float
    after: float
    times: Estimate
    verdict: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument(
        "--threshold", type=float, default=10.0, help="per cent that a median may get worse (default 10)"
    )
    parser.add_argument("--all", action="store_true", help="also show what did not change")


def run(options: argparse.Namespace) -> int:
    """Print what changed. Return 1 if something got worse, else 0."""
    before, after = (json.loads(path.read_text()) for path in (options.before, options.after))
    changes = list(compare(before, after, options.threshold / 100))
    shown = [one for one in changes if options.all or one.verdict]
    print(as_table(shown) if shown else f"{len(changes)} metrics, none changed by more than {options.threshold:g} %")
    return 1 if any(one.verdict == "worse" for one in changes) else 0


def compare(before: Report, after: Report, threshold: float) -> Iterator[Change]:
    """Yield the change of every metric that both reports have. Metrics that are 0 have no ratio, and are left out."""
    for name, old in before["metrics"].items():
        new = after["metrics"].get(name)
        if new and all(value > 0 for value in [*old["values"], *new["values"]]):
            times = change(old["values"], new["values"])
            yield Change(name, old["median"], new["median"], times, verdict(times, old["better"], threshold))


def verdict(times: Estimate, better: str, threshold: float) -> str:
    """Return what a change means: "worse", "better" or ""."""
    rose = times.low > 1 and times.value > 1 + threshold
    fell = times.high < 1 and times.value < 1 - threshold
    if not (rose or fell):
        return ""
    return "better" if rose == (better == "higher") else "worse"


def as_table(changes: list[Change]) -> str:
    """Return a table with a line per change."""
    rows: list[list[Any]] = [
        [
            one.name,
            figure(one.before),
            figure(one.after),
            f"{one.times.value:.2f} [{one.times.low:.2f}, {one.times.high:.2f}]",
            one.verdict,
        ]
        for one in changes
    ]
    return table(("metric", "before", "after", "times [95 %]", ""), rows)
