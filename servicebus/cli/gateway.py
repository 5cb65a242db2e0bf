"""Serve what is exposed over HTTP until SIGTERM, then drain."""

from __future__ import annotations

import argparse

from ..bus import ServiceBus
from ..config import DEFAULT_MAX_MESSAGE_SIZE
from ..errors import LARGEST_MESSAGE
from ..gateway import Gateway
from .options import add_keys, add_prefix, add_url, keyring_of, positive_int, positive_seconds, url_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``servicebus gateway``."""
    parser.add_argument(
        "--expose",
        type=names,
        required=True,
        metavar="NAMES",
        help="what may be called, such as inventory.stock,orders",
    )
    parser.add_argument("--host", default="127.0.0.1", help="to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=port, default=8000, help="to listen on; 0 is one that is free (default 8000)")
    parser.add_argument("--timeout", type=positive_seconds, default=5.0, help="seconds for a call (default 5)")
    parser.add_argument("--max-body", type=positive_int, default=65_536, metavar="BYTES", help="default 65536")
    parser.add_argument(
        "--body-within", type=positive_seconds, default=10.0, metavar="SECONDS", help="for a request to arrive in"
    )
    parser.add_argument("--max-requests", type=positive_int, default=1024, help="in progress at once (default 1024)")
    parser.add_argument(
        "--forward", type=names, default=(), metavar="HEADERS", help="that are let through, such as x-tenant"
    )
    add_prefix(parser, "workers")
    add_url(parser)
    add_keys(parser)


def run(options: argparse.Namespace) -> int:
    """Serve; 0 after a clean drain."""
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
    # Twisted makes its reactor when it is imported: no other command is to have one.
    from ..gateway.server import Address, serve

    serve(gateway, Address(options.host, options.port), ", ".join(options.expose))
    return 0


def names(text: str) -> tuple[str, ...]:
    """An argparse type: names with commas between them."""
    return tuple(name.strip() for name in text.split(","))


def port(text: str) -> int:
    """An argparse type: a TCP port."""
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)
