"""Options that several commands share."""

from __future__ import annotations

import argparse
import math

from ..config import default_url
from ..errors import ConfigurationError
from ..layers.factory import reaches_other_processes
from ..security.signing import Keyring


def add_url(parser: argparse.ArgumentParser) -> None:
    """``--url``, for commands that talk to other processes."""
    parser.add_argument("--url", help="of the server; SERVICEBUS_URL when not given")


def add_keys(parser: argparse.ArgumentParser) -> None:
    """``--keys``, for commands whose frames may have to be signed."""
    parser.add_argument("--keys", metavar="FILE", default="", help="sign with these; SERVICEBUS_KEYS when not given")


def add_prefix(parser: argparse.ArgumentParser, whose: str) -> None:
    """``--prefix``, for commands that find others on the same server."""
    parser.add_argument("--prefix", default="asgi", help=f"of every Redis key; that of the {whose} (default asgi)")


def add_max_message_size(parser: argparse.ArgumentParser) -> None:
    """``--max-message-size``, for commands that send or take messages."""
    parser.add_argument(
        "--max-message-size", type=positive_int, default=65_536, metavar="BYTES", help="default 65536, at most 1048576"
    )


def keyring_of(options: argparse.Namespace) -> Keyring | None:
    """The keys to sign with, None for the default. Raises ConfigurationError."""
    return Keyring.from_file(options.keys) if options.keys else None


def url_of(options: argparse.Namespace) -> str:
    """The URL to use. Raises ConfigurationError for one that no other process could reach."""
    url: str = options.url or default_url()
    if not reaches_other_processes(url):
        raise ConfigurationError(f"{url} ends with this process: give --url redis://host:6379/0, or set SERVICEBUS_URL")
    return url


def positive_int(text: str) -> int:
    """An argparse type: a whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def positive_seconds(text: str) -> float:
    """An argparse type: a number of seconds above zero."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above zero")
    return seconds
