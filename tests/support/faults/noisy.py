"""``python -m tests.support.faults.noisy URL RATE``: a caller that makes so many calls a second, until it is killed."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress

from servicebus import ServiceBus, ServiceBusError

from .worker_site import CHANNEL

WAKE_INTERVAL = 0.01


async def main(url: str, rate: float) -> None:
    async with ServiceBus(url, service="noisy") as bus, asyncio.TaskGroup() as calls:
        begin, made = time.monotonic(), 0
        while True:
            for _ in range(int(rate * (time.monotonic() - begin)) - made):
                calls.create_task(call(bus, f"noisy-{made}"))
                made += 1
            await asyncio.sleep(WAKE_INTERVAL)


async def call(bus: ServiceBus, id: str) -> None:
    with suppress(ServiceBusError):
        await bus.call(CHANNEL, {"type": "run", "id": id, "seconds": 0.005}, timeout=1.0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
