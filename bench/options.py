"""Options that several scenarios have."""

from __future__ import annotations

import argparse
from pathlib import Path


def positive_int(text: str) -> int:
    """Parse a whole number of 1 or more.

    Raises:
        ArgumentTypeError: the text is another number.
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def positive(text: str) -> float:
    """Parse a finite number above 0.

    Raises:
        ArgumentTypeError: the text is another number.
    """
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options that name where the report goes."""
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help="the report as JSON, to stdout or a file")
    parser.add_argument("--html", type=Path, metavar="FILE", help="the report as a page with charts")


def add_repeats(parser: argparse.ArgumentParser, *, repeats: int = 5, seconds: float = 2.0) -> None:
    """Add the options for the number and length of measurements."""
    parser.add_argument("--repeats", type=positive_int, default=repeats, help=f"of everything (default {repeats})")
    parser.add_argument("--seconds", type=positive, default=seconds, help=f"per measurement (default {seconds:g})")
    add_patience(parser)


def add_patience(parser: argparse.ArgumentParser, of: str = "in all") -> None:
    """Add the option for the time to wait for a quiet machine."""
    text = f"{of}, to wait for a quiet machine before a measurement (default 0)"
    parser.add_argument("--patience", type=float, default=0.0, metavar="SECONDS", help=text)


def add_body(parser: argparse.ArgumentParser) -> None:
    """Add the option for the size of a request's body."""
    parser.add_argument("--body", type=positive_int, default=100, metavar="BYTES", help="of a request (default 100)")


def add_in_flight(parser: argparse.ArgumentParser, *default: int) -> None:
    """Add the option for the numbers of calls in flight."""
    text = " ".join(map(str, default))
    parser.add_argument(
        "--in-flight", type=positive_int, nargs="+", default=list(default), metavar="N", help=f"default {text}"
    )
