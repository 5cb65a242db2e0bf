"""The operations of inventory, served from ``inventory.request``."""

from __future__ import annotations

from servicebus import Service
from servicebus.contrib.django import database_connections
from services.orders.contract import REJECTED, OrderEvent

from . import reservations
from . import stock as warehouse
from .contract import Commit, GetStock, Receive, Received, Release, Reservation, Reserve, StockPage

service = Service("inventory", version="1.0.0", around_sync=database_connections)


@service.handler
def stock(request: GetStock) -> StockPage:
    """Read stock, page by page."""
    return warehouse.page(request)


@service.handler
def receive(request: Receive) -> Received:
    """Add goods to stock, once per receipt."""
    return warehouse.receive(request)


@service.handler
def reserve(request: Reserve) -> Reservation:
    """Reserve all lines of an order, or none."""
    return reservations.reserve(request)


@service.handler
def release(request: Release) -> Reservation:
    """Undo the reservation of an order."""
    return reservations.release(request.order_id)


@service.handler
def commit(request: Commit) -> Reservation:
    """Take the reserved units of an order out of stock."""
    return reservations.commit(request.order_id)


@service.on(REJECTED)
def on_rejected(event: OrderEvent) -> None:
    """Release a rejected order. Orders does so too; this handler closes the order even if that call was lost."""
    reservations.release(event.order_id)
