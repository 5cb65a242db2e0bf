"""All scenarios that the targets need, in one run on one machine, and whether the targets are met.

``--quick`` gives an overview.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from .. import targets
from ..options import add_patience, positive_int
from ..progress import say
from ..report.charts import Chart
from ..report.document import Report

PARTS: dict[str, tuple[str, ...]] = {
    "dispatch": (),
    "peers": (),
    "sweep": ("--shares", "0.25", "0.5", "0.75"),
    "scale": ("--groups", "channels", "work", "--channels", "1", "100", "--working", "1", "2"),
    "soak": (),
}
TIMED = ("peers", "sweep", "scale")
QUICK: dict[str, tuple[str, ...]] = {
    "dispatch": ("--repeats", "3", "--messages", "20000"),
    "soak": ("--calls", "200000"),
} | dict.fromkeys(TIMED, ("--repeats", "3", "--seconds", "0.7"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the scenario."""
    parser.add_argument("--quick", action="store_true", help="three short repeats: an overview, in two minutes")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--repeats", type=positive_int, default=0, help="of each part (default: its own)")
    add_patience(parser, "of each part")


async def run(options: argparse.Namespace) -> Report:
    """Run one part after the other. Cancelling is safe: all processes end."""
    parts: dict[str, Report] = {}
    for name in options.parts:
        say(f"{name} begins")
        parts[name] = await _part(name).run(_options(name, options))
    metrics = {f"{name}: {key}": one for name, part in parts.items() for key, one in part["metrics"].items()}
    return {"scenario": "all", "parts": parts, "metrics": metrics, "targets": targets.judged(metrics)}


def _part(name: str) -> Any:
    return importlib.import_module(f".{name}", __package__)


def _options(name: str, options: argparse.Namespace) -> argparse.Namespace:
    """Return the options of a part, as its command line would have them."""
    parser = argparse.ArgumentParser()
    _part(name).add_arguments(parser)
    arguments = [*PARTS[name], *(QUICK[name] if options.quick else ())]
    if options.repeats and name != "soak":
        arguments += ["--repeats", str(options.repeats)]
    if name in TIMED:
        arguments += ["--patience", str(options.patience)]
    return parser.parse_args(arguments)


def table(report: Report) -> str:
    """Return the tables of the parts, then the targets."""
    tables = [f"{name}\n{_part(name).table(part)}" for name, part in report["parts"].items()]
    return "\n\n".join([*tables, f"targets\n{targets.as_table(report['targets'])}"])


def charts(report: Report) -> list[Chart]:
    """Return the charts of the parts."""
    return [chart for name, part in report["parts"].items() for chart in _part(name).charts(part)]
