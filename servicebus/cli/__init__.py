"""The command line: ``servicebus COMMAND``. Each command is a module with ``add_arguments`` and ``run``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from ..errors import ConfigurationError, ServiceBusError
from ..worker.restarts import MISCONFIGURED
from . import acl, call, demo, gateway, health, logs, output, worker

COMMANDS = {"demo": demo, "worker": worker, "gateway": gateway, "call": call, "health": health, "acl": acl}

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 130 interrupted. Wrong arguments exit with 2."""
    try:
        try:
            return _run(_parse(arguments))
        finally:
            # Here and not by the interpreter at its end, which would print a traceback and exit with 120.
            output.flush()
    except BrokenPipeError:
        output.discard()
        return 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="servicebus", description="A service bus on the ASGI channel layer.")
    parser.add_argument("--verbose", action="store_true", help="log each step")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").strip().splitlines()[0]
        module.add_arguments(commands.add_parser(name, help=summary, description=summary))
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    level = logging.INFO if options.verbose or options.command in ("worker", "gateway") else logging.WARNING
    logs.set_up(level)
    try:
        status: int = COMMANDS[options.command].run(options)
        return status
    except ServiceBusError as error:
        print(f"servicebus {options.command}: {_with_option(error, options)}", file=sys.stderr)
        if options.verbose:
            logger.info("the error was raised here", exc_info=error)
        is_child = bool(getattr(options, "supervisor", 0))
        return MISCONFIGURED if is_child and isinstance(error, ConfigurationError) else 1
    except KeyboardInterrupt:
        return 130


def _with_option(error: ServiceBusError, options: argparse.Namespace) -> str:
    """Return the text of an error. A text that begins with the name of a parameter begins with its option instead."""
    text = str(error)
    name, _, rest = text.partition(" ")
    if isinstance(error, ConfigurationError) and name in vars(options) and rest.startswith(("is ", "has ")):
        return f"--{name.replace('_', '-')} {rest}"
    return text
