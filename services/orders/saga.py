"""Moves an order or a return on, step by step, until it is final.

Each step is a call and then a write that is conditional on the status it started from. Whoever loses that race, to a
second Place, a Cancel or a reconciler, reads what the other wrote and goes on from there. When a call fails for want of
a service or of time, the row stays where it is and Unfinished is raised: the next Place of the same order, or the
reconciler, resumes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from servicebus import ServiceBusError, ServiceError

from .calls import Caller
from .contract import Unfinished
from .events import announce
from .models import Order, Return
from .states import CANCELLED, CANCELLED_FROM, GIVEN_UP, GIVEN_UP_FROM, Status, can_move
from .steps import ORDER_STEPS, RETURN_STEPS, OrderStep
from .store import Move, in_thread, move


async def advance(caller: Caller, order: Order) -> Order:
    """Run the steps that are left. Raises Unfinished. Cancelling it is safe."""
    while (step := ORDER_STEPS.get(order.status)) is not None:
        with half_way(order.order_id, order.status):
            after = await _refusable(step, caller, order)
        if await in_thread(move, order, after):
            await announce(caller.bus, order)
    return order


async def _refusable(step: OrderStep, caller: Caller, order: Order) -> Move:
    """A refusal by a service is a step too: the first one back."""
    try:
        return await step(caller, order)
    except ServiceError as refusal:
        if not can_move(order.status, "undoing"):
            raise
        return Move("undoing", {"reason": refusal.code})


async def cancel(caller: Caller, order: Order) -> Order:
    """Undo the order from wherever it is; one that is undone, or about to be, stays so. Errors as in advance."""
    return await _undo(caller, order, CANCELLED, CANCELLED_FROM)


async def give_up(caller: Caller, order: Order) -> Order:
    """Undo the order unless all that is left is to confirm it; then confirm it. Errors as in advance."""
    return await _undo(caller, order, GIVEN_UP, GIVEN_UP_FROM)


async def _undo(caller: Caller, order: Order, reason: str, undoable: frozenset[Status]) -> Order:
    """Whoever moves the order meanwhile may move it out of ``undoable``: it is then advanced instead."""
    while order.status in undoable:
        await in_thread(move, order, Move("undoing", {"reason": reason}))
    return await advance(caller, order)


async def advance_return(caller: Caller, row: Return) -> Return:
    """Run the steps that are left. Raises Unfinished. Cancelling it is safe."""
    while (step := RETURN_STEPS.get(row.status)) is not None:
        with half_way(row.return_id, row.status):
            after = await step(caller, row)
        await in_thread(move, row, after)
    return row


@contextmanager
def half_way(name: str, status: str) -> Iterator[None]:
    """Turn what failed at another service into our own error: its "never executed" would be untrue of this order."""
    try:
        yield
    except ServiceError:
        raise
    except ServiceBusError as error:
        raise Unfinished(id=name, status=status, cause=str(error)) from error
