"""Moves an order or a return on, step by step, until it is final.

Each step is a call and then a write that is conditional on the status that the step started from. A second Place, a
Cancel or a reconciler may write first; the loser of that race reads what the winner wrote and goes on from there. If a
call fails because a service or time is missing, the status stays and Unfinished is raised. The next Place of the same
order, or the reconciler, resumes the order.
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
    """Run the remaining steps of an order.

    Cancelling is safe: the order stays half-way, and the next Place or the reconciler resumes it.

    Raises:
        Unfinished: a service did not do its part in time.
    """
    while (step := ORDER_STEPS.get(order.status)) is not None:
        with half_way(order.order_id, order.status):
            after = await _refusable(step, caller, order)
        if await in_thread(move, order, after):
            await announce(caller.bus, order)
    return order


async def _refusable(step: OrderStep, caller: Caller, order: Order) -> Move:
    """Run one step. If a service refuses it, the next step is the first one back."""
    try:
        return await step(caller, order)
    except ServiceError as refusal:
        if not can_move(order.status, "undoing"):
            raise
        return Move("undoing", {"reason": refusal.code})


async def cancel(caller: Caller, order: Order) -> Order:
    """Undo the order from any status; an order that is undone, or about to be, stays so.

    Cancelling is safe: the order stays half-way, and the next Place or the reconciler resumes it.

    Raises:
        Unfinished: a service did not do its part in time.
    """
    return await _undo(caller, order, CANCELLED, CANCELLED_FROM)


async def give_up(caller: Caller, order: Order) -> Order:
    """Undo the order; if only the confirmation is missing, confirm it instead.

    Cancelling is safe: the order stays half-way, and the next Place or the reconciler resumes it.

    Raises:
        Unfinished: a service did not do its part in time.
    """
    return await _undo(caller, order, GIVEN_UP, GIVEN_UP_FROM)


async def _undo(caller: Caller, order: Order, reason: str, undoable: frozenset[Status]) -> Order:
    """Move the order to "undoing", unless another process moved it out of ``undoable`` meanwhile; then advance it."""
    while order.status in undoable:
        await in_thread(move, order, Move("undoing", {"reason": reason}))
    return await advance(caller, order)


async def advance_return(caller: Caller, row: Return) -> Return:
    """Run the remaining steps of a return. Cancelling is safe: the same request, or the reconciler, resumes the return.

    Raises:
        Unfinished: a service did not do its part in time.
    """
    while (step := RETURN_STEPS.get(row.status)) is not None:
        with half_way(row.return_id, row.status):
            after = await step(caller, row)
        await in_thread(move, row, after)
    return row


@contextmanager
def half_way(name: str, status: str) -> Iterator[None]:
    """Turn a failure at another service into Unfinished: the order has begun, so "never executed" would be wrong.

    Raises:
        Unfinished: the call inside the block failed, and was not refused by a service.
    """
    try:
        yield
    except ServiceError:
        raise
    except ServiceBusError as error:
        raise Unfinished(id=name, status=status, cause=str(error)) from error
