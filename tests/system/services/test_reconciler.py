"""The reconciler finishes what a crash left, at the right time, and once."""

from __future__ import annotations

import asyncio

import pytest

from servicebus import (
    RemoteError,
    Unavailable,
)
from services.inventory.contract import (
    Receive,
    Reserve,
)
from services.orders.calls import Caller
from services.orders.models import Order as Row
from services.orders.saga import give_up
from services.orders.store import in_thread
from services.pricing.contract import Charge

from ...support.services.order_shop import (
    Crash,
    Shop,
    failing,
)
from ...support.services.wall_clock import set_wall_clock


async def test_the_reconciler_leaves_alone_what_moved_lately(shop: Shop) -> None:
    shop.faults.next(Charge, failing(Crash()))
    with pytest.raises(RemoteError):
        await shop.place()
    assert await shop.reconcile(older_than=10.0) == (0, 0, 0)
    assert await shop.reconcile(older_than=0.0) == (1, 0, 0)


WRONG_BY = [-600.0, 0.0, 600.0]
"""Seconds by which the wall clock of a worker's machine is ahead of the database's."""


@pytest.mark.parametrize("placed_by", WRONG_BY)
@pytest.mark.parametrize("reconciled_by", WRONG_BY)
async def test_the_wall_clocks_of_workers_change_no_order(
    shop: Shop, placed_by: float, reconciled_by: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker places an order and fails; another one takes it up neither too early nor never, nor gives it up."""
    set_wall_clock(placed_by, monkeypatch)
    shop.faults.next(Charge, failing(Crash()))
    with pytest.raises(RemoteError):
        await shop.place()
    shop.faults.next(Receive, failing(Crash()))
    with pytest.raises(RemoteError):
        await shop.record_return(A=1)
    set_wall_clock(reconciled_by, monkeypatch)
    assert await shop.reconcile(older_than=60.0) == (0, 0, 0)
    assert await shop.reconcile(older_than=0.0) == (2, 0, 0)
    assert (await shop.get()).status == "confirmed"
    await shop.audit()


async def test_an_order_that_is_confirmed_meanwhile_is_not_given_up(shop: Shop) -> None:
    """The reconciler read it as charged; before it writes, a Place has confirmed it."""
    await shop.place()
    row = await in_thread(lambda: Row.objects.get())
    row.status = "charged"
    caller = Caller(shop.bus, timeout=1.0, until=asyncio.get_running_loop().time() + 1.0)
    assert (await give_up(caller, row)).status == "confirmed"
    await shop.audit()


async def test_what_cannot_be_reconciled_is_left_for_the_next_round(shop: Shop) -> None:
    for number in range(3):
        shop.faults.next(Reserve, failing(Crash()))
        with pytest.raises(RemoteError):
            await shop.place(f"o-{number}", A=1)
    shop.faults.next(Reserve, failing(Unavailable("no permission", retryable=False)))
    assert await shop.reconcile() == (2, 0, 1)
    assert await shop.reconcile() == (1, 0, 0)
    await shop.audit()


async def test_two_reconcilers_do_not_take_up_the_same_order(shop: Shop) -> None:
    shop.faults.next(Reserve, failing(Crash()))
    with pytest.raises(RemoteError):
        await shop.place()
    rounds = await asyncio.gather(shop.reconcile(), shop.reconcile(), shop.reconcile())
    assert sum(finished for finished, _, _ in rounds) == 1
    await shop.audit()
