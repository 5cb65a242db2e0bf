"""The service of the faults, served in the process of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from servicebus import Service, ServiceBus

from ..shop import serving_all
from .record import Record


def site(record: Record) -> Service:
    """Its ``run`` takes as long as the message says, and leaves its history in the record."""
    service = Service("site")

    @service.handler("run")
    async def run(message: dict[str, Any]) -> str:
        with record.recorder.running(message["id"]):
            await asyncio.sleep(message["seconds"])
        return str(message["id"])

    return service


@asynccontextmanager
async def served(url: str, *services: Service, concurrency: int = 256) -> AsyncIterator[ServiceBus]:
    """Serve them on one bus, which is yielded, for the duration of a block."""
    async with ServiceBus(url, service="worker") as worker, serving_all(worker, services, concurrency):
        yield worker
