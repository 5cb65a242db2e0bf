"""Workers whose event loop stands still now and then."""

from __future__ import annotations

import asyncio
import time

from servicebus import Service, ServiceBus
from servicebus.testing.servers import Server

from ...support.timing import MS

STALLS = 6


async def test_a_worker_that_stalls_briefly_and_often_stays_registered(
    server: Server,
) -> None:
    async with ServiceBus(server.url, presence_ttl=1200 * MS) as bus, bus.serving(Service("shop")):
        for _ in range(STALLS):
            time.sleep(650 * MS)  # noqa: ASYNC251 - the very fault
            assert server.run("EXISTS", "asgi:{shop.request}:workers") == 1
            await asyncio.sleep(50 * MS)
