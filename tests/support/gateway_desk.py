"""A service behind a gateway."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import uuid
from typing import Any

from servicebus import Context, Service

from .shop import Closed, Reserve, Reserved

NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC)
ODD: dict[str, Any] = {
    "bytes": b"\x00\xff",
    "time": NOON,
    "decimal": decimal.Decimal("1.10"),
    "uuid": uuid.UUID(int=1),
    "big": 2**63,
}


class Sleeper:
    """A service with a handler that takes long, and how often that has begun and was cancelled."""

    def __init__(self, name: str) -> None:
        self.service = Service(name)
        self.started = self.cancelled = 0
        self.service.handler("sleep")(self.sleep)

    async def sleep(self, message: dict[str, Any]) -> None:
        self.started += 1
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class Desk(Sleeper):
    """A service, and what its handlers have seen."""

    def __init__(self) -> None:
        super().__init__("shop")
        self.seen: list[Context] = []
        self.service.handler(self.reserve)
        for handler in (self.echo, self.odd, self.keys, self.closed):
            self.service.handler(handler.__name__)(handler)

    async def reserve(self, request: Reserve) -> Reserved:
        return Reserved(request.order_id, sum(line.quantity for line in request.lines))

    async def echo(self, message: dict[str, Any], context: Context) -> dict[str, Any]:
        self.seen.append(context)
        return message

    async def odd(self, message: dict[str, Any]) -> dict[str, Any]:
        return ODD

    async def keys(self, message: dict[str, Any]) -> dict[Any, Any]:
        return {None: 1}

    async def closed(self, message: dict[str, Any]) -> None:
        raise Closed(until="noon")
