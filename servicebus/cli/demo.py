"""Place a day of orders through three services on a private server, and check the books."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ..errors import ConfigurationError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``servicebus demo``, as the replay declares them."""
    replay = _replay()
    if replay is not None:
        replay.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """0 when every order was accounted for; 2 for a file or an option that cannot be used."""
    replay = _replay()
    if replay is None:
        raise ConfigurationError("the demo needs the three services: run it in a checkout of the repository")
    status: int = replay.main(options)
    return status


def _replay() -> ModuleType | None:
    """The demo lives with the services, which only a checkout of the repository has."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module("services.replay.demo")
    except ModuleNotFoundError:
        return None
