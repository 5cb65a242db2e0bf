"""Call an operation and print the reply as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

import msgspec

from ..bus import ServiceBus
from ..errors import InvalidRequest, ServiceBusError
from . import output
from .options import add_keys, add_max_message_size, add_prefix, add_timeout, add_url, keyring_of, url_of

DELETE = 0x7F
"""A control character that ``json.dumps`` leaves as it is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``servicebus call``."""
    parser.add_argument("channel", help="channel of the service, such as inventory.request")
    parser.add_argument("message", help='request as a JSON object, such as \'{"type": "stock"}\'')
    add_timeout(parser)
    add_prefix(parser, "workers")
    add_max_message_size(parser)
    add_url(parser)
    add_keys(parser)


def run(options: argparse.Namespace) -> int:
    """Print the reply and return 0. When the call fails, report whether the handler ran, and return 1.

    Raises:
        InvalidRequest: the message is not a JSON object.
        ConfigurationError: a setting cannot be used.
    """
    try:
        message = msgspec.json.decode(options.message, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the message is not a JSON object: {error}") from error
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
        print(f"servicebus call: {error} ({_executed(error)})", file=sys.stderr)
        return 1
    output.write(_shown(reply) + b"\n")
    return 0


async def _call(bus: ServiceBus, channel: str, message: dict[str, Any], timeout: float) -> Any:
    async with bus:
        return await bus.call(channel, message, timeout=timeout)


def _shown(reply: Any) -> bytes:
    """The reply as JSON that cannot control a terminal: what is not printable is escaped."""
    text = msgspec.json.format(msgspec.json.encode(reply)).decode()
    return "".join(part if part.isprintable() or part == "\n" else _escaped(part) for part in text).encode()


def _escaped(character: str) -> str:
    """The escape of JSON, which beyond the first 65,536 characters is a pair."""
    return json.dumps(character)[1:-1] if ord(character) != DELETE else "\\u007f"


def _executed(error: ServiceBusError) -> str:
    return f"executed: {error.executed}" + (", retryable" if error.retryable else "")
