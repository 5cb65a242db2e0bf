"""The three services, unchanged, on whatever CHANNEL_LAYERS has: in one process, served by the bus or by runworker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from channels.layers import channel_layers
from django.test.utils import override_settings

from servicebus import Service, ServiceBus
from servicebus.contrib.asgi import as_asgi
from services.inventory import contract as inventory
from services.inventory.handlers import service as inventory_service
from services.orders import contract as orders
from services.orders.handlers import service as orders_service
from services.pricing import contract as pricing
from services.pricing.handlers import service as pricing_service
from services.replay.audit import audit
from services.replay.client import Client
from services.replay.driver import replay
from services.replay.plan import make_plan
from services.replay.sample import sample_orders

from ...support.running_worker import runworker
from ...support.services.order_shop import (
    OPENING,
    PRICES,
    Faults,
    Shop,
    observer,
)
from ...support.timing import eventually

SERVICES = (inventory_service, pricing_service, orders_service)
IN_MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


@pytest.fixture(autouse=True)
def settings(sqlite: None) -> Iterator[None]:
    with override_settings(CHANNEL_LAYERS=IN_MEMORY):
        yield


@asynccontextmanager
async def served_by_the_bus(services: tuple[Service, ...]) -> AsyncIterator[None]:
    if not services:
        yield
        return
    async with ServiceBus("django://default", service="worker") as bus, bus.serving(services[0]):
        async with served_by_the_bus(services[1:]):
            yield


@asynccontextmanager
async def served_by_runworker(services: tuple[Service, ...]) -> AsyncIterator[None]:
    applications: dict[str, Any] = {service.request_channel: as_asgi(service) for service in services}
    applications |= {service.events_channel: as_asgi(service) for service in services if service.events}
    async with runworker(channel_layers["default"], applications):
        yield


@pytest.fixture(params=[served_by_the_bus, served_by_runworker])
async def shop(request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    """The shop with its opening stock and prices, as a client of its own sees it."""
    faults = Faults()
    async with ServiceBus("django://default", service="shop", middleware=[faults]) as bus:
        opened = Shop(bus, faults)
        async with request.param((*SERVICES, observer(opened.events))):
            await bus.wait_for_workers(*(service.request_channel for service in SERVICES), "observer.request")
            yield opened


async def stocked(bus: ServiceBus) -> None:
    goods = [inventory.Line(sku, units) for sku, units in OPENING.items()]
    prices = [pricing.Price(sku, price) for sku, price in PRICES.items()]
    await bus.call(inventory.CHANNEL, inventory.Receive(receipt_id="opening", lines=goods))
    await bus.call(pricing.CHANNEL, pricing.SetPrices(prices=prices))


async def test_an_order_is_placed_returned_and_accounted_for(shop: Shop) -> None:
    await stocked(shop.bus)
    order = await shop.place("o-1", A=2, B=1)
    assert (order.status, order.total) == ("confirmed", Decimal("7.55"))
    rejected = await shop.place("o-2", A=100)
    assert (rejected.status, rejected.reason) == ("rejected", "out_of_stock")
    await shop.record_return("c-1", A=1)
    expected = {(orders.PLACED, "o-1"), (orders.CONFIRMED, "o-1"), (orders.PLACED, "o-2"), (orders.REJECTED, "o-2")}
    await eventually(lambda: set(shop.events) == expected)
    await shop.audit()


async def test_the_sample_is_replayed_and_the_books_balance(shop: Shop) -> None:
    done = await replay(Client(shop.bus), make_plan(sample_orders()), concurrency=16)
    audit(list(done.outcomes.values()), done.opening, done.closing)
    assert done.summary.confirmed > 40
    assert not done.summary.rejected
