"""Options that several commands share."""

from __future__ import annotations

import argparse
import math

from ..config import DEFAULT_MAX_MESSAGE_SIZE, DEFAULT_PREFIX, DEFAULT_TIMEOUT, default_url
from ..errors import LARGEST_MESSAGE, ConfigurationError
from ..layers.factory import reaches_other_processes
from ..security import Keyring


def add_url(parser: argparse.ArgumentParser) -> None:
    """Add ``--url``, for commands that need a server."""
    parser.add_argument("--url", help="URL of the server (default: SERVICEBUS_URL)")


def add_keys(parser: argparse.ArgumentParser) -> None:
    """Add ``--keys``, for commands that may have to sign frames."""
    parser.add_argument(
        "--keys", metavar="FILE", default="", help="sign frames with the keys of this file (default: SERVICEBUS_KEYS)"
    )


def add_prefix(parser: argparse.ArgumentParser, peers: str = "") -> None:
    """Add ``--prefix``, which must be the same for all ``peers`` of the command, such as its callers."""
    same = f", the same as that of the {peers}" if peers else ""
    parser.add_argument(
        "--prefix",
        default=DEFAULT_PREFIX,
        help=f"beginning of every key on the server{same} (default %(default)s)",
    )


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """Add ``--timeout``, for commands that make calls."""
    parser.add_argument(
        "--timeout",
        type=positive_seconds,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="time for a call (default %(default)s)",
    )


def add_max_message_size(parser: argparse.ArgumentParser) -> None:
    """Add ``--max-message-size``, for commands that send or receive messages."""
    parser.add_argument(
        "--max-message-size",
        type=positive_int,
        default=DEFAULT_MAX_MESSAGE_SIZE,
        metavar="BYTES",
        help=f"size of the largest message (default %(default)s, at most {LARGEST_MESSAGE})",
    )


def keyring_of(options: argparse.Namespace) -> Keyring | None:
    """Return the keys of ``--keys``, None when the option was not given: the bus then looks at the environment.

    Raises:
        ConfigurationError: the file is not a key file, or cannot be read.
    """
    return Keyring.from_file(options.keys) if options.keys else None


def url_of(options: argparse.Namespace) -> str:
    """Return the URL to use: ``--url``, or the one in the environment.

    Raises:
        ConfigurationError: the URL names a layer inside this process, which other processes cannot reach.
    """
    url: str = options.url or default_url()
    if not reaches_other_processes(url):
        raise ConfigurationError(f"{url} ends with this process: give --url redis://host:6379/0, or set SERVICEBUS_URL")
    return url


def positive_int(text: str) -> int:
    """Parse a whole number above zero, as an argparse type."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def positive_seconds(text: str) -> float:
    """Parse a number of seconds above zero, as an argparse type."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above zero")
    return seconds
