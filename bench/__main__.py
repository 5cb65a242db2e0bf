"""``python -m bench rpc``: calls per second and latency of an echo call, beside peers in the same run."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version

from servicebus.loops import loop_factory

from . import dispatch, layers, rpc


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure servicebus, beside its peers.")
    scenarios = parser.add_subparsers(dest="scenario", required=True)
    rpc.add_arguments(scenarios.add_parser("rpc", help="an echo call, one client and one worker process"))
    dispatch.add_arguments(scenarios.add_parser("dispatch", help="the loop alone, in process: frame in, frame out"))
    layers.add_arguments(scenarios.add_parser("layers", help="the Channels layer, beside that of channels_redis"))
    options = parser.parse_args(arguments)
    scenario = {"rpc": rpc, "dispatch": dispatch, "layers": layers}[options.scenario]
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        report = runner.run(scenario.run(options))
    print(json.dumps({"environment": environment(), **report}, indent=2) if options.json else scenario.table(report))
    return 0


def environment() -> dict[str, object]:
    """What a figure depends on."""
    packages = ("servicebus", "msgspec", "hiredis", "redis", "channels_redis", "asgiref")
    return {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "uvloop": loop_factory() is not None,
        "packages": {name: version(name) for name in packages},
    }


if __name__ == "__main__":
    sys.exit(main())
