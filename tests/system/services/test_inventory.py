from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from django.db import IntegrityError, connections
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.database import alias, unit_of_work
from services.inventory import handlers
from services.inventory.contract import (
    Commit,
    GetStock,
    Line,
    OutOfStock,
    Receive,
    Release,
    Reservation,
    ReservationClosed,
    ReservationNotFound,
    Reserve,
    StockLine,
)
from services.inventory.models import Stock
from services.orders.contract import OrderEvent

from .conftest import empty


def lines(units: Mapping[str, int]) -> list[Line]:
    return [Line(sku, quantity) for sku, quantity in units.items()]


def receive(receipt_id: str = "r-1", /, **units: int) -> int:
    return handlers.receive(Receive(receipt_id=receipt_id, lines=lines(units))).units


def reserve(order_id: str = "o-1", /, **units: int) -> Reservation:
    return handlers.reserve(Reserve(order_id=order_id, lines=lines(units)))


def release(order_id: str = "o-1") -> Reservation:
    return handlers.release(Release(order_id=order_id))


def commit(order_id: str = "o-1") -> Reservation:
    return handlers.commit(Commit(order_id=order_id))


def stock() -> dict[str, tuple[int, int]]:
    return {line.sku: (line.on_hand, line.reserved) for line in handlers.stock(GetStock()).lines}


def test_goods_are_received_once_per_receipt(db: str) -> None:
    assert receive("r-1", A=5, B=1) == 6
    assert receive("r-1", A=5, B=1) == 6
    assert receive("r-2", A=2) == 2
    assert stock() == {"A": (7, 0), "B": (1, 0)}


def test_a_reservation_promises_units_and_a_commit_takes_them(db: str) -> None:
    receive(A=5)
    assert reserve(A=3) == Reservation("o-1", "reserved", 3)
    assert stock() == {"A": (5, 3)}
    assert commit() == Reservation("o-1", "committed", 3)
    assert stock() == {"A": (2, 0)}


def test_all_lines_are_reserved_or_none(db: str) -> None:
    receive(A=5, B=1)
    with pytest.raises(OutOfStock) as refusal:
        reserve(C=1, B=2, A=1)
    assert (refusal.value.sku, refusal.value.available, refusal.value.requested) == ("B", 1, 2)
    assert stock() == {"A": (5, 0), "B": (1, 0)}
    assert reserve(A=5, B=1).units == 6


def test_lines_of_one_sku_are_added_up(db: str) -> None:
    receive(A=5)
    with pytest.raises(OutOfStock, match="requested=6"):
        handlers.reserve(Reserve(order_id="o-1", lines=[Line("A", 3), Line("A", 3)]))
    assert handlers.reserve(Reserve(order_id="o-1", lines=[Line("A", 3), Line("A", 2)])).units == 5


@pytest.mark.parametrize("repeated", [reserve, commit, release])
def test_every_operation_is_idempotent(db: str, repeated: Callable[..., Reservation]) -> None:
    receive(A=5)
    reserve(A=3)
    arguments = {"A": 3} if repeated is reserve else {}
    first, before = repeated("o-1", **arguments), stock()
    assert repeated("o-1", **arguments) == first
    assert stock() == before


def test_a_repeated_reserve_returns_what_was_committed(db: str) -> None:
    receive(A=5)
    reserve(A=3)
    commit()
    assert reserve(A=3) == Reservation("o-1", "committed", 3)
    assert stock() == {"A": (2, 0)}


@pytest.mark.parametrize("committed", [False, True])
def test_a_release_puts_the_units_back(db: str, committed: bool) -> None:
    receive(A=5)
    reserve(A=3)
    if committed:
        commit()
    assert release() == Reservation("o-1", "released", 3)
    assert stock() == {"A": (5, 0)}


def test_a_released_order_is_closed_for_good(db: str) -> None:
    receive(A=5)
    reserve(A=3)
    release()
    with pytest.raises(ReservationClosed):
        reserve(A=3)
    with pytest.raises(ReservationClosed):
        commit()
    assert stock() == {"A": (5, 0)}


def test_a_reserve_that_comes_after_its_release_is_refused(db: str) -> None:
    receive(A=5)
    assert release() == Reservation("o-1", "released", 0)
    with pytest.raises(ReservationClosed):
        reserve(A=3)
    assert stock() == {"A": (5, 0)}


def test_an_order_never_reserved_cannot_be_committed(db: str) -> None:
    with pytest.raises(ReservationNotFound):
        commit()


def test_a_rejected_order_is_released_by_its_event(db: str) -> None:
    receive(A=5)
    reserve(A=3)
    handlers.on_rejected(OrderEvent("o-1", "rejected", "payment_declined", 0))  # type: ignore[arg-type]
    assert stock() == {"A": (5, 0)}


def test_stock_is_read_page_by_page(db: str) -> None:
    receive(A=1, B=2, C=3)
    reserve(C=1)
    first = handlers.stock(GetStock(limit=2))
    assert first.lines == [StockLine("A", 1, 0), StockLine("B", 2, 0)]
    assert first.next_after == "B"
    assert (first.total_on_hand, first.total_reserved) == (6, 1)
    last = handlers.stock(GetStock(limit=2, after=first.next_after))
    assert last.lines == [StockLine("C", 3, 1)]
    assert last.next_after == ""
    assert handlers.stock(GetStock(skus=["C", "X"])).lines == [StockLine("C", 3, 1)]


def test_an_empty_warehouse_has_an_empty_page(db: str) -> None:
    page = handlers.stock(GetStock())
    assert (page.lines, page.total_on_hand, page.total_reserved) == ([], 0, 0)


def test_a_721_line_order_takes_a_handful_of_queries(db: str) -> None:
    units = {f"SKU-{number:04}": 2 for number in range(721)}
    receive(**units)
    with CaptureQueriesContext(connections[alias(Stock)]) as queries:
        assert reserve(**units).units == 1442
    assert len(queries) <= 12, [query["sql"][:80] for query in queries]
    assert release().units == 1442
    assert set(stock().values()) == {(2, 0)}


@pytest.mark.parametrize(("on_hand", "reserved"), [(-1, 0), (1, -1), (1, 2)])
def test_the_database_itself_refuses_to_oversell(db: str, on_hand: int, reserved: int) -> None:
    with pytest.raises(IntegrityError), unit_of_work(Stock):
        Stock.objects.create(sku="A", on_hand=on_hand, reserved=reserved)


@pytest.mark.parametrize(
    "body",
    [
        {"order_id": "", "lines": [["A", 1]]},
        {"order_id": "o-1", "lines": []},
        {"order_id": "o-1", "lines": [{"sku": "", "quantity": 1}]},
        {"order_id": "o-1", "lines": [{"sku": "A\x00", "quantity": 1}]},
        {"order_id": "o-1", "lines": [{"sku": "A", "quantity": 0}]},
        {"order_id": "o" * 65, "lines": [{"sku": "A", "quantity": 1}]},
        {"order_id": "o-1", "lines": [{"sku": "A", "quantity": 1}] * 1001},
    ],
)
def test_a_request_out_of_bounds_is_refused_by_its_shape(body: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"type": "reserve", **body}, Reserve)


def in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    def closing(number: int) -> object:
        try:
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(closing, range(count)))


def test_32_threads_never_oversell(db: str) -> None:
    """Each wants 3 of A and 2 of B, named in either order; there is enough for ten of them."""
    receive(A=31, B=20)

    def take(number: int) -> object:
        wanted = {"A": 3, "B": 2} if number % 2 else {"B": 2, "A": 3}
        try:
            return reserve(f"o-{number}", **wanted)
        except OutOfStock as refusal:
            return refusal.sku

    outcomes = in_threads(32, take)
    assert sum(isinstance(outcome, Reservation) for outcome in outcomes) == 10
    assert outcomes.count("A") + outcomes.count("B") == 22
    assert stock() == {"A": (31, 30), "B": (20, 20)}


def test_one_order_reserved_by_many_threads_is_reserved_once(db: str) -> None:
    receive(A=100)
    assert in_threads(16, lambda _: reserve(A=3)) == [Reservation("o-1", "reserved", 3)] * 16
    assert stock() == {"A": (100, 3)}


@pytest.mark.parametrize("committed", [False, True])
def test_one_order_released_by_many_threads_is_put_back_once(db: str, committed: bool) -> None:
    receive(A=100)
    reserve("o-2", A=50)
    reserve(A=3)
    if committed:
        commit()
    assert in_threads(16, lambda _: release()) == [Reservation("o-1", "released", 3)] * 16
    assert stock() == {"A": (100, 50)}


def test_new_skus_received_by_many_threads_all_count(db: str) -> None:
    in_threads(16, lambda number: receive(f"r-{number}", A=1, **{f"S{number % 4}": 2}))
    assert stock() == {"A": (16, 0), **{f"S{number}": (8, 0) for number in range(4)}}


def test_reserves_commits_and_releases_in_any_order_leave_no_unit_behind(db: str) -> None:
    """Two threads each reserve, commit and release the same order: whatever wins, the units add up."""
    receive(A=100, B=100)

    def race(number: int) -> object:
        order_id = f"o-{number // 3}"
        steps: list[Callable[[], object]] = [
            lambda: reserve(order_id, A=1, B=2),
            lambda: commit(order_id),
            lambda: release(order_id),
        ]
        try:
            return steps[number % 3]()
        except (ReservationClosed, ReservationNotFound) as refusal:
            return refusal.code

    in_threads(24, race)
    for number in range(8):
        release(f"o-{number}")
    assert stock() == {"A": (100, 0), "B": (100, 0)}


SKUS = st.sampled_from(["A", "B", "C"])
LINES = st.dictionaries(SKUS, st.integers(1, 4), min_size=1)
ORDERS = st.sampled_from(["o-1", "o-2", "o-3"])
OPERATIONS = st.one_of(
    st.tuples(st.just("receive"), st.sampled_from(["r-1", "r-2"]), LINES),
    st.tuples(st.just("reserve"), ORDERS, LINES),
    st.tuples(st.sampled_from(["commit", "release"]), ORDERS, st.none()),
)


class Model:
    """What a warehouse is, written as plainly as can be: where each unit lies."""

    def __init__(self) -> None:
        self.received: dict[str, Mapping[str, int]] = {}
        self.orders: dict[str, tuple[str, Mapping[str, int]]] = {}

    def units(self, sku: str, *statuses: str) -> int:
        return sum(units.get(sku, 0) for status, units in self.orders.values() if status in statuses)

    def level(self, sku: str) -> tuple[int, int]:
        received = sum(units.get(sku, 0) for units in self.received.values())
        return received - self.units(sku, "committed"), self.units(sku, "reserved")

    def apply(self, operation: str, name: str, units: Mapping[str, int] | None) -> None:
        status = self.orders.get(name, ("none", {}))[0]
        if operation == "receive":
            self.received.setdefault(name, units or {})
        elif operation == "reserve" and status == "none" and units and self.has(units):
            self.orders[name] = ("reserved", units)
        elif operation == "commit" and status == "reserved":
            self.orders[name] = ("committed", self.orders[name][1])
        elif operation == "release":
            self.orders[name] = ("released", {})

    def has(self, units: Mapping[str, int]) -> bool:
        return all(self.level(sku)[0] - self.level(sku)[1] >= wanted for sku, wanted in units.items())


def perform(operation: str, name: str, units: Mapping[str, int] | None) -> None:
    if operation == "receive":
        receive(name, **(units or {}))
    elif operation == "reserve":
        reserve(name, **(units or {}))
    else:
        {"commit": commit, "release": release}[operation](name)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(OPERATIONS, max_size=25))
def test_every_unit_is_somewhere_after_any_operations(
    sqlite: None, operations: list[tuple[str, str, dict[str, int] | None]]
) -> None:
    empty()
    model = Model()
    for operation, name, units in operations:
        try:
            perform(operation, name, units)
        except (OutOfStock, ReservationClosed, ReservationNotFound):
            before = {sku: model.level(sku) for sku in "ABC"}
            model.apply(operation, name, units)
            assert {sku: model.level(sku) for sku in "ABC"} == before
        else:
            model.apply(operation, name, units)
    levels = stock()
    assert {sku: levels.get(sku, (0, 0)) for sku in "ABC"} == {sku: model.level(sku) for sku in "ABC"}
