"""The step that follows each status of an order or a return.

A step may be repeated, also by several processes at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from services.inventory import contract as inventory
from services.pricing import contract as pricing

from .calls import Caller
from .models import Order, Record, Return
from .states import Status, undone_as
from .store import Move

RETURN_PREFIX = "return-"
"""Begins the receipt ID of returned goods, so that a return and a delivery with the same ID do not collide."""

OrderStep: TypeAlias = Callable[[Caller, Order], Awaitable[Move]]
ReturnStep: TypeAlias = Callable[[Caller, Return], Awaitable[Move]]


async def reserve(caller: Caller, order: Order) -> Move:
    """Reserve the goods. Cancelling is safe: the step may be made again."""
    await caller.call(inventory.CHANNEL, inventory.Reserve(order_id=order.order_id, lines=stock_lines(order)))
    return Move("reserved")


async def charge(caller: Caller, order: Order) -> Move:
    """Charge the price.

    An order that is resumed keeps the prices of its first charge. Cancelling is safe: the step may be made again.
    """
    quotation = await caller.call(pricing.CHANNEL, pricing.Quote(lines=priced_lines(order), itemized=False))
    request = pricing.Charge(payment_id=order.order_id, amount=quotation.total)
    payment = await caller.call(pricing.CHANNEL, request)
    return Move("charged", {"total": payment.amount})


async def commit(caller: Caller, order: Order) -> Move:
    """Take the goods out of stock. Cancelling is safe: the step may be made again."""
    await caller.call(inventory.CHANNEL, inventory.Commit(order_id=order.order_id))
    return Move("committed")


async def confirm(caller: Caller, order: Order) -> Move:
    """Confirm the order, which needs no call. Cancelling is safe: the step may be made again."""
    return Move("confirmed")


async def undo(caller: Caller, order: Order) -> Move:
    """Give back goods and money, whether or not they were taken.

    Both services then refuse late requests. Cancelling is safe: the step may be made again.
    """
    await caller.call(inventory.CHANNEL, inventory.Release(order_id=order.order_id))
    await caller.call(pricing.CHANNEL, pricing.Refund(payment_id=order.order_id))
    return Move(undone_as(order.reason))


async def receive(caller: Caller, row: Return) -> Move:
    """Put returned goods back into stock. Cancelling is safe: the step may be made again."""
    request = inventory.Receive(receipt_id=RETURN_PREFIX + row.return_id, lines=stock_lines(row))
    await caller.call(inventory.CHANNEL, request)
    return Move("received")


async def credit(caller: Caller, row: Return) -> Move:
    """Credit returned goods. Cancelling is safe: the step may be made again."""
    request = pricing.CreditReturn(credit_id=row.return_id, lines=priced_lines(row))
    credited = await caller.call(pricing.CHANNEL, request)
    return Move("credited", {"credited": credited.amount})


ORDER_STEPS: Mapping[Status, OrderStep] = {
    "placed": reserve,
    "reserved": charge,
    "charged": commit,
    "committed": confirm,
    "undoing": undo,
}
RETURN_STEPS: Mapping[Status, ReturnStep] = {"recorded": receive, "received": credit}


def stock_lines(row: Record) -> list[inventory.Line]:
    """Return the lines of a record as inventory takes them."""
    return [inventory.Line(sku=sku, quantity=quantity) for sku, quantity in row.lines]


def priced_lines(row: Record) -> list[pricing.Line]:
    """Return the lines of a record as pricing takes them."""
    return [pricing.Line(sku=sku, quantity=quantity) for sku, quantity in row.lines]
