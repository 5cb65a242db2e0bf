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
    from servicebus import Bus

REPLY_MARGIN = 0.15
"""Seconds of the caller's time that are kept for the reply, so that an error reaches the caller before its deadline."""
TIME_WITHOUT_DEADLINE = 30.0
"""Seconds for a request without a deadline: enough to outlast the restart of another service."""
RECONCILE_EVERY = 2.0
"""Seconds between two rounds of the reconciler: short beside ORDERS_STALE_AFTER, and each round is two queries."""

service = Service("orders", version="1.0.0", around_sync=database_connections)


@service.handler
async def place(request: Place, context: Context) -> Order:
    """Place an order, or resume it.

    Cancelling is safe: the order stays half-way, and the next Place or the reconciler resumes it.
    """
    order, is_new = await store.in_thread(store.open_order, request)
    if is_new:
        await announce(context.bus, order)
    return _reply(await saga.advance(_caller(context), order))


@service.handler
def get(request: GetOrder) -> Order:
    """Read an order as it stands.

    Raises:
        OrderNotFound: no order has this ID.
    """
    return _reply(_found(store.find_order(request.order_id), request.order_id))


@service.handler
async def cancel(request: Cancel, context: Context) -> Order:
    """Give back the goods and the money of an order.

    Cancelling is safe: the order stays half-way, and the next Place or the reconciler resumes it.
    """
    order = _found(await store.in_thread(store.find_order, request.order_id), request.order_id)
    return _reply(await saga.cancel(_caller(context), order))


@service.handler
async def record_return(request: RecordReturn, context: Context) -> Return:
    """Restock and credit returned goods.

    Cancelling is safe: the same request, or the reconciler, resumes the return.
    """
    return await returns.record(_caller(context), request)


@service.handler
async def reconcile(request: Reconcile, context: Context) -> Reconciled:
    """Run one round of the reconciler. Cancelling is safe: the next round takes up what is left."""
    return await reconcile_round(_caller(context), request.older_than)


@service.every(RECONCILE_EVERY)
async def reconcile_stale(bus: Bus) -> None:
    """Run one round, of ORDERS_CALL_TIMEOUT seconds at most.

    The rest is due again after ORDERS_STALE_AFTER seconds. Cancelling is safe, as for ``reconcile``.
    """
    await reconcile_round(_caller_for(bus, settings.ORDERS_CALL_TIMEOUT), settings.ORDERS_STALE_AFTER)


def _caller(context: Context) -> Caller:
    remaining = context.remaining()
    seconds = TIME_WITHOUT_DEADLINE if remaining is None else remaining - min(REPLY_MARGIN, remaining / 4)
    return _caller_for(context.bus, seconds)


def _caller_for(bus: Bus, seconds: float) -> Caller:
    until = asyncio.get_running_loop().time() + seconds
    return Caller(bus, settings.ORDERS_CALL_TIMEOUT, until)


def _found(order: Row | None, order_id: str) -> Row:
    if order is None:
        raise OrderNotFound(order_id=order_id)
    return order


def _reply(row: Row) -> Order:
    return Order(order_id=row.order_id, status=row.status, reason=row.reason, total=row.total)
