"""Two services and a caller, each with a user of its own on the server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from servicebus import Context, Service, ServiceBus
from servicebus.security.acl import ServiceUser

REGISTERED = 2.0

STOCK = ServiceUser("stock", subscribes=("orders.placed",))
ORDERS = ServiceUser("orders", calls=("stock.request",), publishes=("orders.placed",))
WEB = ServiceUser("web", serves=False, calls=("orders.request",))


class Shop:
    """Two services, one of which calls the other, and what happened in them."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.stock, self.orders = Service("stock"), Service("orders")
        self._declare_stock()
        self._declare_orders()

    def _declare_stock(self) -> None:
        @self.stock.handler("reserve")
        async def reserve(message: dict[str, Any]) -> int:
            self.seen["reserved"] += 1
            return int(message["n"])

        @self.stock.handler("wait")
        async def wait(message: dict[str, Any]) -> None:
            self.seen["waiting"] += 1
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                self.seen["cancelled"] += 1
                raise

        @self.stock.on("orders.placed")
        async def placed(event: dict[str, Any]) -> None:
            self.seen["placed"] += 1

    def _declare_orders(self) -> None:
        @self.orders.handler("place")
        async def place(message: dict[str, Any], context: Context) -> int:
            reserved = await context.bus.call("stock.request", {"type": "reserve", "n": message["n"]})
            await context.bus.publish("orders.placed", {"n": message["n"]})
            return int(reserved)

        @self.orders.handler("wait")
        async def wait(message: dict[str, Any], context: Context) -> None:
            await context.bus.call("stock.request", {"type": "wait"}, timeout=30)


@asynccontextmanager
async def opened(url: Callable[[str], str], shop: Shop) -> AsyncIterator[ServiceBus]:
    """Both services, each as its own user, and the bus of the third; ``url`` is that of a user."""
    async with (
        ServiceBus(url("stock"), service="stock", presence_ttl=REGISTERED) as stock,
        stock.serving(shop.stock),
        ServiceBus(url("orders"), service="orders", presence_ttl=REGISTERED) as ordering,
        ordering.serving(shop.orders),
        ServiceBus(url("web"), service="web", presence_ttl=60.0) as web,
    ):
        yield web
