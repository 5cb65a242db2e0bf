"""``python -m bench.subscribers N ADDRESS``: N services in one process that subscribe to ``bench.tick``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

from servicebus import Service, ServiceBus
from servicebus.foundation.event_loop import loop_factory

from . import histogram
from .pipes import lines_of_stdin, reply


class Received:
    """The events that all subscribers of this process received since the last ``take``."""

    def __init__(self) -> None:
        self._latencies = histogram.samples()

    async def tick(self, event: dict[str, Any]) -> None:
        """Record the latency of an event. Cancelling is safe: it never waits."""
        self._latencies.append(time.perf_counter() - event["sent"])

    def count(self) -> dict[str, Any]:
        """Return the number of events."""
        return {"received": len(self._latencies)}

    def take(self) -> dict[str, Any]:
        """Return number and latencies of the events, and start again."""
        taken, self._latencies = self._latencies, histogram.samples()
        return {"received": len(taken), **histogram.summary(histogram.of_seconds(taken))}


def subscriber(number: int, received: Received) -> Service:
    """Return a service with a number in its name that subscribes to the event."""
    service = Service(f"subscriber-{number}")
    service.on("bench.tick")(received.tick)
    return service


async def main(subscribers: str, address: str) -> None:
    """Serve the subscribers until standard input ends. Cancelling is safe: the bus is closed."""
    received = Received()
    async with ServiceBus(address) as bus, AsyncExitStack() as stack:
        for number in range(int(subscribers)):
            await stack.enter_async_context(bus.serving(subscriber(number, received)))
        reply({"ready": True})
        async for request in lines_of_stdin():
            reply(received.take() if request["kind"] == "take" else received.count())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(*sys.argv[1:]))
