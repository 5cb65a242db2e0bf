"""Call an operation and print the reply as JSON."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

import msgspec

from ..bus import ServiceBus
from ..errors import InvalidRequest, ServiceBusError
from .options import add_keys, add_max_message_size, add_prefix, add_url, keyring_of, positive_seconds, url_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``servicebus call``."""
    parser.add_argument("channel", help="such as inventory.request")
    parser.add_argument("message", help='JSON, such as \'{"type": "stock"}\'')
    parser.add_argument("--timeout", type=positive_seconds, default=5.0, help="seconds (default 5)")
    add_prefix(parser, "workers")
    add_max_message_size(parser)
    add_url(parser)
    add_keys(parser)


def run(options: argparse.Namespace) -> int:
    """Print the reply; 1 with one line on standard error when there is none, which says whether the handler ran."""
    try:
        message = msgspec.json.decode(options.message, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the message is no JSON object: {error}") from error
    bus = ServiceBus(
        url_of(options),
        service="cli",
        prefix=options.prefix,
        max_message_size=options.max_message_size,
        signing=keyring_of(options),
    )
    try:
        reply = asyncio.run(_call(bus, options.channel, message, options.timeout))
    except ServiceBusError as error:
        print(f"servicebus call: {error} ({_fate(error)})", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(reply)) + b"\n")
    return 0


async def _call(bus: ServiceBus, channel: str, message: dict[str, Any], timeout: float) -> Any:
    async with bus:
        return await bus.call(channel, message, timeout=timeout)


def _fate(error: ServiceBusError) -> str:
    return f"executed: {error.executed}" + (", retryable" if error.retryable else "")
