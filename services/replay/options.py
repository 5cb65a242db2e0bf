"""The options of ``servicebus demo``: declared, checked, frozen."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from msgspec import Struct

MAX_RATIO = 1000
"""Opening stock as a multiple of what is ordered: more changes nothing, and the units still fit the database."""
MAX_CONCURRENCY = 1000
"""Orders in flight: more than the services can work on at once."""
MAX_WORKERS = 64
"""Worker processes of each service: more than a machine has cores for."""
SCHEMES = (
    *("redis", "rediss", "unix"),
    *("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
)

_RATIO = re.compile(r"[0-9]{1,12}(\.[0-9]{0,12})?|\.[0-9]{1,12}")


class Options(Struct, frozen=True):
    """The options of the demo.

    ``orders`` None: the generated sample. ``url`` None: an embedded server. ``workers``: processes of each service.
    ``prefix`` "": one of its own, so that the demo and a shop that runs on the same server do not meet.
    """

    orders: Path | None = None
    stock_ratio: Decimal = Decimal(1)
    concurrency: int = 8
    workers: int = 1
    url: str | None = None
    prefix: str = ""
    json: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options. argparse reports a wrong one in one line and exits with status 2."""
    default = Options()
    parser.add_argument("--orders", type=Path, metavar="FILE.csv", help="UCI Online Retail orders (default: a sample)")
    parser.add_argument(
        "--stock-ratio",
        type=_ratio,
        default=default.stock_ratio,
        metavar="R",
        help="opening stock as a part of what is ordered (default: 1)",
    )
    _add_number(parser, "--concurrency", default.concurrency, MAX_CONCURRENCY, "orders in flight")
    _add_number(parser, "--workers", default.workers, MAX_WORKERS, "worker processes of each service")
    parser.add_argument("--url", type=_url, help="the server to use (default: an embedded one)")
    parser.add_argument(
        "--prefix", default=default.prefix, help="the prefix of the server's keys (default: one of its own)"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")


def from_args(args: argparse.Namespace) -> Options:
    """Return the parsed options as a frozen value."""
    return Options(**{name: getattr(args, name) for name in Options.__struct_fields__})


def _add_number(parser: argparse.ArgumentParser, name: str, default: int, highest: int, text: str) -> None:
    kind = _whole(highest)
    parser.add_argument(
        name, type=kind, default=default, metavar="N", help=f"{text}, 1 to {highest} (default: {default})"
    )


def _whole(highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= highest):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {highest}")
        return int(text)

    return parse


def _ratio(text: str) -> Decimal:
    if not _RATIO.fullmatch(text) or Decimal(text) > MAX_RATIO:
        raise argparse.ArgumentTypeError(f"{text!r} is not a decimal number from 0 to {MAX_RATIO}")
    return Decimal(text)


def _url(text: str) -> str:
    if text.partition("://")[0] not in SCHEMES:
        raise argparse.ArgumentTypeError(f"the workers share a server: a URL starts with {'://, '.join(SCHEMES)}://")
    return text
