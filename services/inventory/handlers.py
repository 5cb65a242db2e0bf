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
    return warehouse.page(request)


@service.handler
def receive(request: Receive) -> Received:
    return warehouse.receive(request)


@service.handler
def reserve(request: Reserve) -> Reservation:
    return reservations.reserve(request)


@service.handler
def release(request: Release) -> Reservation:
    return reservations.release(request.order_id)


@service.handler
def commit(request: Commit) -> Reservation:
    return reservations.commit(request.order_id)


@service.on(REJECTED)
def on_rejected(event: OrderEvent) -> None:
    """Orders releases what it rejects by itself; this closes the order here even when that message was lost."""
    reservations.release(event.order_id)
