"""Serve the exposed operations over HTTP until SIGTERM, then drain."""

from __future__ import annotations

import argparse

from ..bus import ServiceBus
from ..config import DEFAULT_BODY_WITHIN, DEFAULT_MAX_MESSAGE_SIZE, DEFAULT_MAX_REQUESTS
from ..errors import LARGEST_MESSAGE
from ..gateway import Gateway
from .options import (
    add_keys,
    add_prefix,
    add_timeout,
    add_url,
    keyring_of,
    positive_int,
    positive_seconds,
    url_of,
)

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
"""The TCP port to listen on: the port that other Python web servers use too."""
HIGHEST_PORT = 65_535
"""The largest TCP port: the field has 16 bits."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``servicebus gateway``."""
    parser.add_argument(
        "--expose",
        type=names,
        required=True,
        metavar="NAMES",
        help="services and operations that may be called, such as inventory.stock,orders",
    )
    parser.add_argument("--host", default=DEFAULT_HOST, help="address to listen on (default %(default)s)")
    parser.add_argument(
        "--port", type=port, default=DEFAULT_PORT, help="port to listen on, 0 for a free one (default %(default)s)"
    )
    add_timeout(parser)
    _add_bounds(parser)
    parser.add_argument(
        "--forward",
        type=names,
        default=(),
        metavar="HEADERS",
        help="HTTP headers that become headers of the bus, such as x-tenant",
    )
    add_prefix(parser, "workers")
    add_url(parser)
    add_keys(parser)


def _add_bounds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-body",
        type=positive_int,
        default=DEFAULT_MAX_MESSAGE_SIZE,
        metavar="BYTES",
        help="size of the largest request body (default %(default)s)",
    )
    parser.add_argument(
        "--body-within",
        type=positive_seconds,
        default=DEFAULT_BODY_WITHIN,
        metavar="SECONDS",
        help="time for a request to arrive (default %(default)s)",
    )
    parser.add_argument(
        "--max-requests",
        type=positive_int,
        default=DEFAULT_MAX_REQUESTS,
        metavar="N",
        help="requests in progress at once (default %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes, and return 0 after a clean drain.

    Raises:
        ConfigurationError: a setting cannot be used, or the address is taken.
        Unavailable: the server of the bus refuses this process, and waiting does not help.
    """
    bus = ServiceBus(
        url_of(options),
        service="gateway",
        prefix=options.prefix,
        max_message_size=min(max(options.max_body, DEFAULT_MAX_MESSAGE_SIZE), LARGEST_MESSAGE),
        signing=keyring_of(options),
    )
    gateway = Gateway(
        bus,
        expose=options.expose,
        timeout=options.timeout,
        max_body=options.max_body,
        body_within=options.body_within,
        max_requests=options.max_requests,
        forward=options.forward,
    )
    # Imported here, because Twisted makes its reactor when it is imported, and only this command needs one.
    from ..gateway.server import Address, serve

    serve(gateway, Address(options.host, options.port), ", ".join(options.expose))
    return 0


def names(text: str) -> tuple[str, ...]:
    """Parse names with commas between them, as an argparse type."""
    return tuple(name.strip() for name in text.split(","))


def port(text: str) -> int:
    """Parse a TCP port, as an argparse type."""
    if not text.isdecimal() or int(text) > HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 0 to {HIGHEST_PORT}")
    return int(text)
