"""``python -m tests.support.faults.crowd URL BUSES CALLS``: buses that await replies until it is killed."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

from servicebus import ServiceBus

CHANNEL = "crowd.request"


async def main(url: str, buses: int, calls: int) -> None:
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as waiting:
        for _ in range(buses):
            bus = await stack.enter_async_context(ServiceBus(url, service="crowd"))
            for _ in range(calls):
                waiting.create_task(bus.call(CHANNEL, {"type": "wait"}, timeout=60.0))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
