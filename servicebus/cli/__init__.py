"""The command line: ``servicebus COMMAND``. Each command is a module with ``add_arguments`` and ``run``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from ..errors import ConfigurationError, ServiceBusError
from . import acl, call, demo, gateway, health, logs, worker

COMMANDS = {"demo": demo, "worker": worker, "gateway": gateway, "call": call, "health": health, "acl": acl}

USAGE_ERROR = 2

logger = logging.getLogger(__name__)


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
        print(f"servicebus {options.command}: {_told(error, options)}", file=sys.stderr)
        if options.verbose:
            logger.info("this is where it came from", exc_info=error)
        return 1
    except BrokenPipeError:
        # The reader of our output went away; leave nothing for the interpreter to flush into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _told(error: ServiceBusError, options: argparse.Namespace) -> str:
    """The text of an error, with the option where it begins with the parameter that the option sets."""
    text = str(error)
    name, _, rest = text.partition(" ")
    if isinstance(error, ConfigurationError) and name in vars(options) and rest.startswith(("is ", "has ")):
        return f"--{name.replace('_', '-')} {rest}"
    return text
