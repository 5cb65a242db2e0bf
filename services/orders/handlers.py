"""The operations of orders, served from ``orders.request``, and its reconciler."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from django.conf import settings

from servicebus import Context, Service
from servicebus.contrib.django import database_connections

from . import returns, saga, store
from .calls import Caller
from .contract import (
    Cancel,
    GetOrder,
    Order,
    OrderNotFound,
    Place,
    Reconcile,
    Reconciled,
    RecordReturn,
    Return,
)
from .events import announce
from .models import Order as Row
from .reconciler import reconcile as reconcile_round

if TYPE_CHECKING:
    from servicebus import ServiceBus

MARGIN = 0.15  # seconds kept back at most, so that an error still reaches the caller before its deadline
PATIENCE = 30.0  # seconds for a caller that set no deadline
RECONCILE_EVERY = 2.0  # seconds

service = Service("orders", version="1.0.0", around_sync=database_connections)


@service.handler
async def place(request: Place, context: Context) -> Order:
    order, is_new = await store.in_thread(store.open_order, request)
    if is_new:
        await announce(context.bus, order)
    return _reply(await saga.advance(_caller(context), order))


@service.handler
def get(request: GetOrder) -> Order:
    return _reply(_found(store.find_order(request.order_id), request.order_id))


@service.handler
async def cancel(request: Cancel, context: Context) -> Order:
    order = _found(await store.in_thread(store.find_order, request.order_id), request.order_id)
    return _reply(await saga.cancel(_caller(context), order))


@service.handler
async def record_return(request: RecordReturn, context: Context) -> Return:
    return await returns.record(_caller(context), request)


@service.handler
async def reconcile(request: Reconcile, context: Context) -> Reconciled:
    return await reconcile_round(_caller(context), request.older_than)


@service.every(RECONCILE_EVERY)
async def reconcile_stale(bus: ServiceBus) -> None:
    """One round, of ORDERS_CALL_TIMEOUT seconds at most; what it leaves is due again after ORDERS_STALE_AFTER."""
    await reconcile_round(_patient(bus, settings.ORDERS_CALL_TIMEOUT), settings.ORDERS_STALE_AFTER)


def _caller(context: Context) -> Caller:
    remaining = context.remaining()
    patience = PATIENCE if remaining is None else remaining - min(MARGIN, remaining / 4)
    return _patient(context.bus, patience)


def _patient(bus: ServiceBus, patience: float) -> Caller:
    until = asyncio.get_running_loop().time() + patience
    return Caller(bus, settings.ORDERS_CALL_TIMEOUT, until)


def _found(order: Row | None, order_id: str) -> Row:
    if order is None:
        raise OrderNotFound(order_id=order_id)
    return order


def _reply(row: Row) -> Order:
    return Order(order_id=row.order_id, status=row.status, reason=row.reason, total=row.total)
