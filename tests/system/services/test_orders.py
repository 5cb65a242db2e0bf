from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest
from django.test.utils import override_settings

from servicebus import (
    DeadlineExceeded,
    InvalidRequest,
    NoWorkers,
    RemoteError,
    SendUnknown,
    ServiceBusError,
    Unavailable,
    WorkerLost,
)
from servicebus.api.middleware import CallNext, Invocation
from services.inventory.contract import CHANNEL as INVENTORY
from services.inventory.contract import (
    Commit,
    Line,
    Receive,
    Release,
    Reservation,
    ReservationClosed,
    Reserve,
)
from services.orders.contract import (
    CONFIRMED,
    PLACED,
    REJECTED,
    Order,
    OrderEvent,
    OrderNotFound,
    Unfinished,
)
from services.orders.models import Order as Row
from services.orders.store import in_thread
from services.pricing.contract import Charge, Quote, Refund

from ...support.services.order_shop import (
    Crash,
    Shop,
    doing,
    failing,
    open_shop,
)
from ...support.timing import LONG, allowed

STEPS = [Reserve, Quote, Charge, Commit]
TOTAL = Decimal("7.55")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not condition():
            await asyncio.sleep(0.005)


async def test_an_order_is_reserved_charged_committed_and_confirmed(shop: Shop) -> None:
    assert await shop.place() == await shop.get() == Order("o-1", "confirmed", "", TOTAL)
    assert [kind for kind in shop.faults.seen if kind in STEPS] == STEPS
    assert await shop.stock() == {"A": (8, 0), "B": (9, 0)}
    assert (await shop.books()).charged == TOTAL
    await until(lambda: len(shop.events) == 2)
    assert shop.events == [(PLACED, "o-1"), (CONFIRMED, "o-1")]
    await shop.audit()


async def test_a_repeated_order_returns_as_it_stands(shop: Shop) -> None:
    first = await shop.place()
    assert await shop.place(A=9) == first
    assert (await shop.place("o-2", A=9)).status == "rejected"
    assert (await shop.place("o-2")).reason == "out_of_stock"
    await shop.audit()


async def test_an_order_nobody_placed_is_not_found(shop: Shop) -> None:
    with pytest.raises(OrderNotFound):
        await shop.get()
    with pytest.raises(OrderNotFound):
        await shop.cancel()


async def test_goods_that_are_not_there_reject_the_order(shop: Shop) -> None:
    assert await shop.place(A=1, B=11) == Order("o-1", "rejected", "out_of_stock", Decimal("0.00"))
    await until(lambda: len(shop.events) == 2)
    assert shop.events == [(PLACED, "o-1"), (REJECTED, "o-1")]
    await shop.audit()


async def test_goods_without_a_price_reject_the_order(shop: Shop) -> None:
    await shop.bus.call(INVENTORY, Receive(receipt_id="r-2", lines=[Line("NEW", 5)]))
    assert (await shop.place(A=1, NEW=1)).reason == "unknown_sku"
    assert (await shop.stock())["NEW"] == (5, 0)
    await shop.audit()


async def test_a_payment_that_is_declined_rejects_the_order(shop: Shop) -> None:
    await shop.bus.call(INVENTORY, Receive(receipt_id="r-2", lines=[Line("GOLD", 2)]))
    assert (await shop.place(A=1, GOLD=2)).reason == "payment_declined"
    assert (await shop.stock())["GOLD"] == (2, 0)
    await shop.audit()


async def test_a_reservation_released_by_others_rejects_the_order_and_refunds_it(shop: Shop) -> None:
    shop.faults.next(Commit, doing(lambda: shop.bus.call(INVENTORY, Release(order_id="o-1"))))
    assert await shop.place() == Order("o-1", "rejected", "reservation_closed", TOTAL)
    assert (await shop.books()).refunded == TOTAL
    await shop.audit()


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize(
    "error", [NoWorkers("c"), SendUnknown("c"), WorkerLost("c"), DeadlineExceeded("c", "o", "queued")]
)
async def test_a_step_that_fails_for_a_moment_is_repeated(sqlite: None, kind: type, error: ServiceBusError) -> None:
    async with open_shop() as shop:
        shop.faults.next(kind, failing(error, after=error.executed != "no"), times=3)
        assert (await shop.place()).status == "confirmed"
        await shop.audit()


@pytest.mark.parametrize("kind", STEPS)
async def test_a_step_that_fails_for_good_leaves_the_order_half_way(shop: Shop, kind: type) -> None:
    shop.faults.next(kind, failing(Unavailable("no permission", retryable=False)))
    with pytest.raises(Unfinished, match="no permission") as failure:
        await shop.place()
    assert failure.value.executed == "yes"
    assert failure.value.retryable
    assert failure.value.status == (await shop.get()).status
    assert shop.faults.seen.count(kind) == 1
    assert (await shop.place()).status == "confirmed"
    await shop.audit()


async def test_when_time_runs_out_the_caller_is_told_in_time(shop: Shop) -> None:
    shop.faults.next(Charge, failing(NoWorkers("pricing.request")), times=1000)
    started = asyncio.get_running_loop().time()
    with pytest.raises(Unfinished, match="no worker serves") as failure:
        await shop.place(timeout=0.6)
    assert asyncio.get_running_loop().time() - started < allowed(0.6)
    assert failure.value.status == "reserved"
    assert 4 <= shop.faults.seen.count(Charge) <= 20


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("resumed_by", ["place", "reconcile", "cancel", "give up"])
async def test_an_order_that_a_crash_left_half_way_is_finished_or_undone(
    shop: Shop, kind: type, after: bool, resumed_by: str
) -> None:
    shop.faults.next(kind, failing(Crash(), after=after))
    with pytest.raises(RemoteError, match="internal"):
        await shop.place()
    assert (await shop.get()).status in ("placed", "reserved", "charged")
    if resumed_by == "place":
        assert (await shop.place()).status == "confirmed"
    elif resumed_by == "cancel":
        assert (await shop.cancel()).status == "cancelled"
    elif resumed_by == "reconcile":
        assert await shop.reconcile() == (1, 0, 0)
        assert (await shop.get()).status == "confirmed"
    else:
        with override_settings(ORDERS_GIVE_UP_AFTER=0.0):
            assert await shop.reconcile() == (0, 1, 0)
        assert (await shop.get()).reason == "given_up"
    await shop.audit()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", [Release, Refund])
async def test_an_undo_that_a_crash_left_half_way_is_finished(shop: Shop, kind: type, after: bool) -> None:
    shop.faults.next(Commit, failing(ReservationClosed(order_id="o-1")))
    shop.faults.next(kind, failing(Crash(), after=after))
    with pytest.raises(RemoteError, match="internal"):
        await shop.place()
    assert (await shop.get()).status == "undoing"
    assert await shop.reconcile() == (0, 1, 0)
    assert (await shop.get()).reason == "reservation_closed"
    await shop.audit()


async def test_a_confirmed_order_is_cancelled_once(shop: Shop) -> None:
    await shop.place()
    assert await shop.cancel() == await shop.cancel() == Order("o-1", "cancelled", "cancelled", TOTAL)
    assert (await shop.place()).status == "cancelled"
    assert (await shop.books()).refunded == TOTAL
    await shop.audit()


async def test_a_rejected_order_that_is_cancelled_stays_rejected(shop: Shop) -> None:
    await shop.place(B=11)
    assert (await shop.cancel()).status == "rejected"
    await shop.audit()


@pytest.mark.parametrize("kind", STEPS)
async def test_an_order_cancelled_in_the_middle_ends_cancelled_for_both(shop: Shop, kind: type) -> None:
    shop.faults.next(kind, doing(shop.cancel))
    assert await shop.place() == await shop.get()
    assert (await shop.get()).status == "cancelled"
    await shop.audit()


async def test_a_reserve_that_comes_late_takes_nothing(shop: Shop) -> None:
    late: list[Callable[[], Awaitable[Reservation]]] = []

    async def lost(invocation: Invocation, call_next: CallNext) -> object:
        late.append(lambda: call_next(invocation))
        raise Unavailable("cut", retryable=False)

    shop.faults.next(Reserve, lost)
    with pytest.raises(Unfinished):
        await shop.place()
    assert (await shop.cancel()).status == "cancelled"
    with pytest.raises(ReservationClosed):
        await late[0]()
    await shop.audit()


async def test_one_order_placed_many_times_at_once_is_one_order(shop: Shop) -> None:
    placed = await asyncio.gather(*(shop.place() for _ in range(12)))
    assert placed == [Order("o-1", "confirmed", "", TOTAL)] * 12
    await until(lambda: len(shop.events) == 2)
    assert sorted(shop.events) == [(CONFIRMED, "o-1"), (PLACED, "o-1")]
    await shop.audit()


async def test_one_order_placed_and_cancelled_at_once_leaves_nothing_behind(shop: Shop) -> None:
    for number in range(5):
        order_id = f"o-{number}"
        placing = asyncio.create_task(shop.place(order_id, A=1))
        await asyncio.sleep(0.004 * number)
        while True:
            try:
                cancelled = await shop.cancel(order_id)
                break
            except OrderNotFound:
                await asyncio.sleep(0)
        assert cancelled.status == "cancelled"
        assert (await placing).status in ("cancelled", "confirmed")
        assert (await shop.get(order_id)).status == "cancelled"
    await shop.audit()


async def test_orders_at_once_never_oversell(shop: Shop) -> None:
    placed = await asyncio.gather(*(shop.place(f"o-{number}", A=3, B=1) for number in range(12)))
    assert [order.status for order in placed].count("confirmed") == 3
    assert {order.reason for order in placed if order.status == "rejected"} == {"out_of_stock"}
    await shop.audit()


async def test_an_event_that_is_not_published_fails_no_order(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.faults.next(OrderEvent, failing(Unavailable("down")), times=2)
    assert (await shop.place()).status == "confirmed"
    assert [record.levelname for record in caplog.records if "was not published" in record.message] == ["WARNING"] * 2
    assert shop.events == []


async def test_an_order_keeps_the_price_of_its_first_charge(shop: Shop) -> None:
    shop.faults.next(Charge, failing(Crash(), after=True))
    with pytest.raises(RemoteError):
        await shop.place()
    shop.faults.next(Quote, failing(Crash()))
    assert (await in_thread(lambda: Row.objects.get())).total == 0
    await _reprice(shop)
    with pytest.raises(RemoteError):
        await shop.place()
    assert (await shop.place()).total == TOTAL
    await shop.audit()


async def _reprice(shop: Shop) -> None:
    from services.pricing.contract import CHANNEL, Price, SetPrices

    await shop.bus.call(CHANNEL, SetPrices(prices=[Price("A", Decimal("9.00"))]))


async def test_an_order_out_of_bounds_is_refused_by_its_shape(sqlite: None) -> None:
    async with open_shop() as shop:
        for order_id, quantity in (("", 1), ("o" * 65, 1), ("o\n", 1), ("o-1", 0), ("o-1", 10_000_001)):
            with pytest.raises(InvalidRequest):
                await shop.place(order_id, A=quantity)


async def test_a_721_line_order_is_one_reserve_and_one_quote(shop: Shop) -> None:
    from services.pricing.contract import CHANNEL, Price, SetPrices

    skus = [f"SKU-{number:03}" for number in range(721)]
    await shop.bus.call(INVENTORY, Receive(receipt_id="r-2", lines=[Line(sku, 1) for sku in skus]))
    await shop.bus.call(CHANNEL, SetPrices(prices=[Price(sku, Decimal("1.25")) for sku in skus]))
    shop.faults.seen.clear()
    assert (await shop.place("o-1", **dict.fromkeys(skus, 1))).total == Decimal("901.25")
    assert [kind for kind in shop.faults.seen if kind in STEPS] == STEPS
