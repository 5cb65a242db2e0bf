"""Finishes what a crash left half-way, and undoes orders that have been half-way for too long."""

from __future__ import annotations

import asyncio
import logging
from typing import Literal, TypeAlias

from django.conf import settings

from servicebus import RemoteError

from .calls import Caller
from .contract import Reconciled
from .models import Order, Return
from .saga import advance, advance_return, give_up
from .store import claim, in_thread, is_older, stale

logger = logging.getLogger("services.orders")

BATCH = 100
"""Orders, and as many returns, that one round takes up: the oldest first, so that a round ends in seconds."""
AT_ONCE = 8
"""Orders and returns that one round moves at the same time: enough to hide waiting, few beside a worker's credit."""

Outcome: TypeAlias = Literal["finished", "undone", "left"]


async def reconcile(caller: Caller, older_than: float) -> Reconciled:
    """Run one round over the orders and returns that nobody touched for ``older_than`` seconds.

    Cancelling is safe: the next round takes up what is left.
    """
    orders, all_orders = await in_thread(stale, Order, older_than, BATCH)
    returns, all_returns = await in_thread(stale, Return, older_than, BATCH)
    rows: list[Order | Return] = [*orders, *returns]
    room = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_resumed(caller, row, room)) for row in rows]
    outcomes = [task.result() for task in tasks]
    finished, undone = outcomes.count("finished"), outcomes.count("undone")
    return Reconciled(finished=finished, undone=undone, left=all_orders + all_returns - finished - undone)


async def _resumed(caller: Caller, row: Order | Return, room: asyncio.Semaphore) -> Outcome:
    async with room:
        if not await in_thread(claim, row):
            return "left"
        try:
            return await _resume(caller, row)
        except RemoteError as error:
            logger.warning("%s stays half-way: %s", row.pk, error)
            return "left"


async def _resume(caller: Caller, row: Order | Return) -> Outcome:
    if isinstance(row, Return):
        await advance_return(caller, row)
        return "finished"
    if await in_thread(is_older, row, settings.ORDERS_GIVE_UP_AFTER):
        await give_up(caller, row)
    else:
        await advance(caller, row)
    return "finished" if row.status == "confirmed" else "undone"
