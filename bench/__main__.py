"""``python -m bench SCENARIO``: measure, print a table, and write JSON or a page on request."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from servicebus.foundation.event_loop import loop_factory

from .environment import Meanwhile, environment
from .options import add_output
from .peers.base import embedded_server
from .report import compare
from .report.document import Report
from .report.html import page
from .server_info import Observer

SCENARIOS = {
    "rpc": "an echo call in a closed loop, by concurrency, beside the floors",
    "peers": "the same call over other systems, interleaved with ours",
    "floor": "ours beside the floors: the same server without a bus",
    "dispatch": "the loop alone, in process: frame in, frame out",
    "load": "an open loop at given rates: latency from the intended instant",
    "sweep": "latency against rate, up to saturation",
    "events": "publish to n subscribers",
    "scale": "workers, channels, body sizes, and a handler that computes",
    "layers": "the Channels layer, beside that of channels_redis",
    "soak": "many calls, and what the processes grow by",
    "all": "all scenarios that the targets need, in one run, and the targets",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a scenario and return the exit status of the command."""
    options = parser().parse_args(arguments)
    if options.scenario == "compare":
        return compare.run(options)
    if options.scenario == "model":
        return int(_scenario("model").main(options))
    scenario = _scenario(options.scenario)
    meanwhile = Meanwhile()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        report = runner.run(_until_done(scenario, options))
        server = runner.run(described_server())
    surroundings = {**environment(), "server": server, "others_share": meanwhile.others_share()}
    report = {"environment": surroundings, "options": _plain(options), **report}
    write(scenario, report, options)
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line, with a subcommand for each scenario."""
    whole = argparse.ArgumentParser(prog="python -m bench", description="Measure servicebus, beside its peers.")
    scenarios = whole.add_subparsers(dest="scenario", required=True)
    for name, text in SCENARIOS.items():
        one = scenarios.add_parser(name, help=text, description=_scenario(name).__doc__)
        _scenario(name).add_arguments(one)
        add_output(one)
    compare.add_arguments(scenarios.add_parser("compare", help="two reports: 1 when something got worse"))
    _scenario("model").add_arguments(scenarios.add_parser("model", help="what more workers and servers would do"))
    return whole


def _scenario(name: str) -> Any:
    # "all" is not a name for a module: it is a built-in function.
    return importlib.import_module(f".scenarios.{'everything' if name == 'all' else name}", __package__)


async def _until_done(scenario: Any, options: argparse.Namespace) -> Report:
    """Run a scenario. SIGTERM ends it as Ctrl-C does, with every process that it started."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    report: Report = await scenario.run(options)
    return report


async def described_server() -> dict[str, Any]:
    """Return version and settings of the server that every scenario starts. Cancelling is safe: the server is ended."""
    async with embedded_server() as server:
        observer = Observer(server.address)
        try:
            return observer.description()
        finally:
            observer.close()


def _plain(options: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(options).items() if name not in ("json", "html")}


def write(scenario: Any, report: Report, options: argparse.Namespace) -> None:
    """Print the table, or the JSON if that goes to stdout, and write the files that were asked for."""
    encoded = json.dumps(report, indent=2)
    table = f"{scenario.table(report)}\n\n{conditions(report['environment'])}"
    print(encoded if options.json == "-" else table)
    if options.json and options.json != "-":
        Path(options.json).write_text(encoded + "\n")
    if options.html:
        options.html.write_text(page(report, table, scenario.charts(report)))


def conditions(surroundings: dict[str, Any]) -> str:
    """Return the line that helps to judge how far to trust the figures."""
    return (
        f"commit {surroundings['commit'][:12]}, {surroundings['changed_files']} files changed, "
        f"Python {surroundings['python']}, {surroundings['server']['server']} {surroundings['server']['version']}, "
        f"{surroundings['machine']}; "
        f"others used {surroundings['others_share']:.0%} of the machine meanwhile"
    )


if __name__ == "__main__":
    sys.exit(main())
