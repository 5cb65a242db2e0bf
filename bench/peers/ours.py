"""servicebus itself: defaults on, a private server on a unix socket."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle

from servicebus import ServiceBus
from servicebus.config import DEFAULT_MAX_MESSAGE_SIZE

from ..load import Call
from .base import Peer, driven_by, embedded_server, module_command

NAME = "servicebus"
CREDIT = 1024
"""Messages that a worker may hold: four times the calls in flight of the busiest comparison, so that none waits."""


@asynccontextmanager
async def client(
    address: str, channels: int = 0, operation: str = "echo", largest: int = DEFAULT_MAX_MESSAGE_SIZE
) -> AsyncIterator[Call]:
    """Yield a function that calls ``bench.echo``, or each of ``channels`` in turn."""
    async with ServiceBus(address, max_message_size=largest) as bus:
        if channels:
            names = cycle([f"echo-{number}.request" for number in range(channels)])
            yield lambda body: bus.call(next(names), {"type": operation, "body": body})
        else:
            yield lambda body: bus.call("echo.request", {"type": operation, "body": body})


def variant(
    name: str,
    *,
    workers: int = 1,
    channels: int = 0,
    operation: str = "echo",
    concurrency: int = CREDIT,
    largest: int = DEFAULT_MAX_MESSAGE_SIZE,
) -> Peer:
    """Return our system with other numbers of workers or channels, or another operation."""

    def worker(address: str) -> tuple[str, ...]:
        if channels:
            return module_command("bench.peers.channels", address, str(channels))
        # A worker that knows its supervisor ends by itself when this process is gone.
        options = ("--url", address, "--concurrency", str(concurrency), "--supervisor", str(os.getpid()))
        sizes = ("--max-message-size", str(largest))
        return module_command("servicebus", "worker", "bench.echo", *options, *sizes)

    driver = driven_by(NAME, channels=channels, operation=operation, largest=largest)
    return Peer(name, lambda: "", embedded_server, worker, driver, workers=workers)


PEER = variant(NAME)
