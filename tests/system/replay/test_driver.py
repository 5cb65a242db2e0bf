"""The driver on the real services, in one process over memory://."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from servicebus import ChannelFull, DeadlineExceeded, NoWorkers, ServiceBus, ServiceBusError, Unauthorized, Unavailable
from services.orders.contract import CHANNEL, Cancel, GetOrder, Place, RecordReturn, Unfinished
from services.pricing.contract import SetPrices
from services.replay.audit import audit
from services.replay.client import Client
from services.replay.driver import Replay, no_progress, replay, step_id
from services.replay.orders_file import Invoice, OrderLine
from services.replay.outcomes import Outcome
from services.replay.plan import Plan, make_plan
from services.replay.sample import sample_orders

from ...support.replay.order_faults import Faults
from ...support.replay.orders import write_invoices
from ...support.replay.simulation import simulate

TOTAL = Decimal("2.50")


def small(units: int = 2) -> Plan:
    line = OrderLine("A", units, Decimal("1.25"))
    back = OrderLine("A", -1, Decimal("1.25"))
    return make_plan([Invoice("1", "17850.0", (line,)), Invoice("C2", "", (back,)), Invoice("3", "", (line,))])


def impatient(bus: ServiceBus) -> Client:
    """A client that gives up after 0.75 seconds of pauses; a call that succeeds has twice that time."""
    return Client(bus, patience=1.5, timeout=1.5, chance=lambda: 1.0)


def balanced(done: Replay) -> dict[str, Outcome]:
    audit(list(done.outcomes.values()), done.opening, done.closing)
    return done.outcomes


@pytest.mark.parametrize(("ratio", "concurrency"), [("1", 8), ("1", 64), ("0.5", 1), ("0.25", 1), ("0", 8)])
async def test_the_sample_comes_to_what_the_simulation_says(
    bus: ServiceBus, tmp_path: Path, ratio: str, concurrency: int
) -> None:
    day = simulate(write_invoices(tmp_path / "sample.csv", sample_orders()), ratio)
    done = await replay(Client(bus), make_plan(sample_orders(), Decimal(ratio)), concurrency)
    outcomes = balanced(done)
    sales = [each for each in outcomes.values() if each.is_sale]
    assert [step_id(each.step) for each in sales if each.is_done] == day.confirmed
    assert [step_id(each.step) for each in sales if each.reason == "out_of_stock"] == day.out_of_stock
    assert (done.summary.charged, done.summary.refunded) == (day.charged, day.refunded)
    assert (done.summary.stock_opening, done.summary.stock_closing) == (day.opening.total(), day.shelf.total())
    assert all(each.seconds > 0 for each in sales)


async def test_too_little_stock_and_many_at_once_is_accounted_for(bus: ServiceBus) -> None:
    done = await replay(Client(bus), make_plan(sample_orders(), Decimal("0.5")), 64)
    outcomes, summary = balanced(done), done.summary
    assert set(summary.rejected) == {"out_of_stock"}
    assert summary.sales == summary.skipped + summary.confirmed + summary.rejected["out_of_stock"]
    assert len(outcomes) == 59


async def test_steps_start_in_file_order_a_bounded_number_at_once(bus: ServiceBus, faults: Faults) -> None:
    plan = make_plan(sample_orders())
    await replay(Client(bus), plan, 5)
    started = [each for each in faults.seen if isinstance(each, (Place, RecordReturn))]
    assert [each.order_id if isinstance(each, Place) else each.return_id for each in started] == [
        step_id(step) for step in plan.steps
    ]
    assert faults.most == 5
    assert started[0].customer


async def test_progress_counts_every_step(bus: ServiceBus) -> None:
    shown: list[tuple[int, int, int, int]] = []
    await replay(Client(bus), small(), 1, lambda *counts: shown.append(counts))
    assert shown == [(1, 3, 1, 0), (2, 3, 1, 0), (3, 3, 2, 0)]


async def test_a_day_without_orders_is_replayed(bus: ServiceBus) -> None:
    done = await replay(Client(bus), make_plan([]), 8)
    assert (balanced(done), done.summary.calls) == ({}, 4)


async def test_the_catalogue_is_loaded_in_pages_that_fit(bus: ServiceBus, faults: Faults) -> None:
    long = tuple(OrderLine("中" * 60 + f"{index:04}", 1, Decimal("999.9999")) for index in range(1000))
    short = tuple(OrderLine(f"{index:05}", 1, Decimal(1)) for index in range(1000))
    done = await replay(Client(bus), make_plan([Invoice("1", "", long), Invoice("2", "", short)]), 1)
    assert [each.reason for each in balanced(done).values()] == ["", ""]
    prices = [each.prices for each in faults.seen if isinstance(each, SetPrices)]
    assert sum(map(len, prices)) == 2000
    assert max(map(len, prices)) == 400


@pytest.mark.parametrize(
    "error",
    [
        lambda: ChannelFull("orders.request", 1),
        lambda: NoWorkers("orders.request"),
        lambda: DeadlineExceeded("orders.request", "place", "queued"),
        lambda: Unavailable("no server"),
        lambda: Unfinished(id="1", status="reserved", cause="no pricing"),
    ],
)
async def test_what_fails_for_a_moment_is_tried_again(bus: ServiceBus, faults: Faults, error: type[Exception]) -> None:
    faults.fail(Place, error, times=2)
    faults.fail(RecordReturn, error, times=1)
    done = await replay(Client(bus), small(), 1)
    assert all(each.is_done for each in balanced(done).values())
    assert (done.retries, done.summary.calls) == (3, 2 + 4 + 3 + 3)


async def test_a_reply_that_was_lost_is_asked_for_again(bus: ServiceBus, faults: Faults) -> None:
    faults.fail(Place, lambda: DeadlineExceeded("orders.request", "place", "dispatched"), times=1, after=True)
    done = await replay(Client(bus), small(), 1)
    assert [each.amount for each in balanced(done).values()] == [TOTAL, Decimal("1.25"), TOTAL]


async def test_an_order_that_is_given_up_is_rejected_with_the_error_as_reason(bus: ServiceBus, faults: Faults) -> None:
    faults.fail(Place, lambda: NoWorkers("orders.request"))
    done = await replay(impatient(bus), small(), 2)
    assert done.summary.rejected == {"no_workers": 2}
    assert balanced(done)["C2"].is_done
    assert 0.7 < balanced(done)["1"].seconds < 10.0


async def test_an_order_that_is_given_up_is_not_confirmed_behind_our_back(bus: ServiceBus, faults: Faults) -> None:
    faults.fail(Place, lambda: DeadlineExceeded("orders.request", "place", "dispatched"), after=True)
    done = await replay(impatient(bus), small(), 1)
    assert balanced(done)["1"].reason == "deadline_exceeded"
    assert (await bus.call(CHANNEL, GetOrder(order_id="1"))).status == "cancelled"
    assert sum(isinstance(each, Cancel) for each in faults.seen) == 2


async def test_a_refusal_is_not_tried_again(bus: ServiceBus, faults: Faults) -> None:
    faults.fail(Place, lambda: Unauthorized("place"))
    done = await replay(Client(bus), small(), 1)
    assert done.summary.rejected == {"unauthorized": 2}
    assert done.retries == 0
    assert not any(isinstance(each, Cancel) for each in faults.seen)
    balanced(done)


async def test_a_return_that_is_given_up_is_counted_apart(bus: ServiceBus, faults: Faults) -> None:
    faults.fail(RecordReturn, lambda: Unavailable("no server"))
    done = await replay(impatient(bus), small(), 1)
    assert done.summary.rejected == {"return_unavailable": 1}


async def test_loading_that_fails_raises(bus: ServiceBus, faults: Faults) -> None:
    faults.fail(SetPrices, lambda: NoWorkers("pricing.request"))
    with pytest.raises(ServiceBusError, match="no worker serves"):
        await replay(impatient(bus), small(), 1, no_progress)
