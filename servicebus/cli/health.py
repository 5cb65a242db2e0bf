"""Exit with 0 when the server answers and every channel named has a worker, for health probes."""

from __future__ import annotations

import argparse
import asyncio

from ..bus import ServiceBus
from .options import add_keys, add_prefix, add_url, keyring_of, positive_seconds, url_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``servicebus health``."""
    parser.add_argument("channels", nargs="*", metavar="CHANNEL", help="channel that must have a worker")
    parser.add_argument(
        "--wait",
        type=positive_seconds,
        default=0.0,
        metavar="SECONDS",
        help="time to wait for the workers (default: none)",
    )
    add_prefix(parser, "workers")
    add_url(parser)
    add_keys(parser)


def run(options: argparse.Namespace) -> int:
    """Print ``ok`` and return 0 when the server and the workers are there.

    Raises:
        NoWorkers: a channel has no worker.
        Unavailable: the server does not answer.
    """
    bus = ServiceBus(url_of(options), service="cli", prefix=options.prefix, signing=keyring_of(options))
    asyncio.run(_check(bus, options.channels, options.wait))
    print("ok")
    return 0


async def _check(bus: ServiceBus, channels: list[str], wait: float) -> None:
    async with bus:
        await bus.wait_for_workers(*channels, timeout=wait)
