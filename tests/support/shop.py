"""A small contract and its service, for tests of the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

from servicebus import Context, Request, Service, ServiceBus, ServiceBusError, ServiceError

from .timing import LONG, MS

CHANNEL = "shop.request"


class Line(msgspec.Struct):
    sku: str
    quantity: int


class Reserved(msgspec.Struct):
    order_id: str
    units: int


class Reserve(Request[Reserved], tag="reserve"):
    order_id: str
    lines: list[Line]


class Count(Request[int]):
    """Its operation is its name, ``count``."""

    upto: int = 0


class Placed(msgspec.Struct):
    order_id: str


class SoldOut(ServiceError, code="sold_out"):
    sku: str
    available: int = 0


class Closed(ServiceError, code="tests_shop_closed"):
    """The only error of its code."""

    until: str


def counter(name: str = "shop") -> Service:
    """A service that does a little of everything."""
    service = Service(name)

    @service.handler
    async def count(request: Count) -> int:
        return request.upto

    @service.handler
    async def reserve(request: Reserve, context: Context) -> Reserved:
        if not request.lines:
            raise SoldOut(sku="A", available=3)
        return Reserved(request.order_id, sum(line.quantity for line in request.lines))

    @service.handler("echo")
    async def echo(message: dict[str, Any]) -> dict[str, Any]:
        return {**message, "caller_has": "plain values"}

    @service.handler("plain")
    def plain(message: dict[str, Any], context: Context) -> str:
        return context.caller

    @service.on("orders.placed")
    async def on_placed(event: Placed) -> None: ...

    return service


def echoing(name: str = "shop") -> Service:
    """A service that answers with what it got."""
    service = Service(name)

    @service.handler("echo")
    async def echo(message: dict[str, Any]) -> dict[str, Any]:
        return message

    return service


async def served_again(bus: ServiceBus, channel: str, message: dict[str, Any]) -> None:
    """Wait until a call on a channel is answered, whatever happens to those before it."""
    async with asyncio.timeout(LONG):
        while True:
            with suppress(ServiceBusError):
                await bus.call(channel, message, timeout=1000 * MS)
                return
            await asyncio.sleep(20 * MS)


@asynccontextmanager
async def calling(url: str, *services: Service, concurrency: int = 256, **options: Any) -> AsyncIterator[ServiceBus]:
    """A caller's bus, and each service on a bus of its own that is served for as long."""
    async with ServiceBus(url, service="worker") as worker, ServiceBus(url, service="tests", **options) as bus:
        async with serving_all(worker, services, concurrency):
            yield bus


@asynccontextmanager
async def serving_all(bus: ServiceBus, services: tuple[Service, ...], concurrency: int) -> AsyncIterator[None]:
    if not services:
        yield
        return
    async with bus.serving(services[0], concurrency=concurrency), serving_all(bus, services[1:], concurrency):
        yield
