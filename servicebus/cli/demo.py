"""Place a day of orders through three services on a private server, and check the books."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ..errors import ConfigurationError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``servicebus demo``, which the demo itself declares."""
    demo = _demo()
    if demo is not None:
        demo.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Return 0 when every order was accounted for, 2 for a file or an option that cannot be used.

    Raises:
        ConfigurationError: the three services are not here.
    """
    demo = _demo()
    if demo is None:
        raise ConfigurationError("the demo needs the three services: run it in a checkout of the repository")
    status: int = demo.main(options)
    return status


def _demo() -> ModuleType | None:
    """Import the demo. It lives beside the services, which only a checkout of the repository has."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module("services.replay.demo")
    except ModuleNotFoundError:
        return None
