"""The command line: ``servicebus COMMAND``. Each command is a module with ``add_arguments`` and ``run``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from ..errors import ServiceBusError
from . import acl, call, demo, gateway, health, logs, worker

COMMANDS = {"demo": demo, "worker": worker, "gateway": gateway, "call": call, "health": health, "acl": acl}

USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 not understood."""
    parser = argparse.ArgumentParser(prog="servicebus", description="A service bus on the ASGI channel layer.")
    parser.add_argument("--verbose", action="store_true", help="log what goes on")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").strip().splitlines()[0]
        module.add_arguments(commands.add_parser(name, help=summary, description=summary))
    options = parser.parse_args(arguments)
    level = logging.INFO if options.verbose or options.command in ("worker", "gateway") else logging.WARNING
    logs.set_up(level)
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        status: int = COMMANDS[options.command].run(options)
        return status
    except ServiceBusError as error:
        print(f"servicebus {options.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output went away; leave nothing for the interpreter to flush into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
