from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.config import DEFAULT_MAX_MESSAGE_SIZE
from services.inventory.contract import Receive
from services.money import rounded
from services.orders.contract import Place, RecordReturn
from services.pricing.contract import Quotation, QuotedLine
from services.replay.driver import step_id
from services.replay.orders_file import Invoice, OrderLine, read_orders
from services.replay.plan import Plan, PlanLine, Return, Sale, make_plan, split
from services.types import MAX_UNITS

from ....support.replay.orders import HEADER, WriteOrders, full_row
from ....support.replay.simulation import simulate


def plan_of(path: Path, ratio: str = "1") -> Plan:
    return make_plan(read_orders(path), Decimal(ratio))


def sale(number: str, *lines: tuple[str, int], customer: str = "17850.0") -> Sale:
    return Sale(number, customer, tuple(PlanLine(*line) for line in lines))


def test_the_catalogue_price_is_the_most_frequent_then_the_highest(write_orders: WriteOrders) -> None:
    path = write_orders(
        *("1,A,1,1.00", "2,A,1,2.00", "3,A,1,1.00"),
        *("1,B,1,1.00", "2,B,1,3.00", "3,B,1,2.00"),
        *("1,C,1,2.5", "2,C,1,3.00", "3,C,1,2.50"),
        *("1,D,5,0", "1,E,1,-7.00", "C1,F,-1,4.00", "1,G,-1,5.00"),
    )
    prices = {sku: str(price) for sku, price in plan_of(path).catalogue.items()}
    assert prices == {"A": "1.00", "B": "3.00", "C": "2.5", "F": "4.00", "G": "5.00"}


def test_the_lines_of_a_sku_are_added_up_and_bad_lines_leave_the_rest(write_orders: WriteOrders) -> None:
    path = write_orders("1,B,1,1", "1,A,2,1", "1,B,3,9", "1,A,0,1", "1,A,-2,1", "1,A,2,0", "1,A,-1,-1", "1,A,1,-1")
    plan = plan_of(path)
    assert plan.steps == (sale("1", ("B", 4), ("A", 2)),)
    assert plan.invalid_lines == {"price_not_positive": 2, "quantity_not_positive": 3}


def test_steps_are_in_order_of_first_appearance(write_orders: WriteOrders) -> None:
    path = write_orders("2,A,1,1", "C3,A,-1,1", "1,A,1,1", "2,B,1,1")
    assert [step_id(step) for step in plan_of(path).steps] == ["2", "C3", "1"]


def test_a_sale_without_a_valid_line_is_skipped_and_counted(write_orders: WriteOrders) -> None:
    plan = plan_of(write_orders("1,A,-5,0", "2,A,1,1", "3,A,1,0"))
    assert (plan.sales, plan.skipped, len(plan.steps)) == (3, ("1", "3"), 1)


def test_a_return_takes_back_what_is_in_the_catalogue(write_orders: WriteOrders) -> None:
    plan = plan_of(write_orders("1,A,5,1", "C2,A,-1,0", "C2,B,-1,0", "C2,A,3,1", "C2,A,0,1", "C2,A,-2,9"))
    assert plan.steps[1:] == (Return("C2", "17850.0", (PlanLine("A", 3),)),)
    assert plan.invalid_lines == {"not_in_catalogue": 1, "quantity_not_negative": 2}


def test_a_return_without_a_valid_line_is_counted_and_not_sent(write_orders: WriteOrders) -> None:
    plan = plan_of(write_orders("C1,B,-1,0", "c2,A,1,1"))
    assert (plan.returns, plan.sales, [step_id(step) for step in plan.steps]) == (1, 1, ["c2"])


@pytest.mark.parametrize(
    ("ratio", "units"), [("0", 0), ("1", 10), ("0.5", 5), ("0.55", 5), ("0.59999999999999999999999", 5), ("2.5", 25)]
)
def test_opening_stock_is_the_floor_of_ratio_times_what_is_sold(
    write_orders: WriteOrders, ratio: str, units: int
) -> None:
    path = write_orders("1,A,4,1", "2,A,6,1", "2,A,9,0", "C3,A,-3,1", "C3,B,-1,2")
    assert plan_of(path, ratio).opening_stock == {"A": units, "B": 0}


def test_opening_stock_is_exact_where_decimal_would_round() -> None:
    invoice = Invoice("1", "", tuple(OrderLine("A", MAX_UNITS, Decimal(1)) for _ in range(900)))
    ratio = Decimal("0.1111111111111111111111111")
    assert make_plan([invoice], ratio).opening_stock == {"A": 999_999_999}


def test_more_units_than_a_line_may_hold_stand_on_several() -> None:
    assert [line.quantity for line in split({"A": 2 * MAX_UNITS + 1})] == [MAX_UNITS, MAX_UNITS, 1]
    invoice = Invoice("1", "", tuple(OrderLine("A", 6_000_000, Decimal(1)) for _ in range(2)))
    plan = make_plan([invoice])
    assert plan.steps == (sale("1", ("A", 10_000_000), ("A", 2_000_000), customer=""),)
    assert plan.opening_stock == {"A": 12_000_000}


def test_a_sku_that_no_contract_takes_is_an_invalid_line() -> None:
    lines = tuple(OrderLine(sku, 1, Decimal(1)) for sku in ("", "A" * 64, "A" * 65))
    plan = make_plan([Invoice("1", "", lines), Invoice("C2", "", (OrderLine("", -1, Decimal(1)),))])
    assert plan.steps == (sale("1", ("A" * 64, 1), customer=""),)
    assert (list(plan.catalogue), plan.invalid_lines) == (["A" * 64], {"bad_sku": 3})


def test_lines_past_what_one_request_may_hold_are_invalid() -> None:
    lines = tuple(OrderLine(f"{index:05}", 1, Decimal("2.55")) for index in range(1100))
    plan = make_plan([Invoice("1", "", (*lines, OrderLine("00000", 1, Decimal("2.55"))))])
    assert len(plan.steps[0].lines) == 1000
    assert plan.steps[0].lines[0] == PlanLine("00000", 2)
    assert plan.invalid_lines == {"too_many_lines": 100}


@pytest.mark.parametrize("sku", ["{:06}", "{:064}", "{:0>60}ÄÖÜ", "中" * 58 + "{:06}"])
@pytest.mark.parametrize(("price", "units"), [("0.85", 12), ("999999.9999", MAX_UNITS), ("0.0001", 1)])
def test_every_message_about_an_invoice_fits_the_bus(sku: str, price: str, units: int) -> None:
    lines = tuple(OrderLine(sku.format(index), units, Decimal(price)) for index in range(1000))
    plan = make_plan([Invoice("1", "", lines)])
    amount = rounded(Decimal(price) * units)
    quoted = [QuotedLine(line.sku, line.quantity, Decimal(price), amount) for line in plan.steps[0].lines]
    size = len(msgspec.msgpack.encode(Quotation(quoted, amount * len(quoted))))
    assert 30_000 < size < DEFAULT_MAX_MESSAGE_SIZE - 1000


skus = st.sampled_from(["A", "B", "C", "DOT"])
quantities = st.integers(-3, 12)
prices = st.sampled_from(["0", "0.00", "-1.50", "1.1", "1.10", "2.00", "3.25"])
numbers = st.sampled_from(["1", "2", "3", "4", "C5", "C6", "A7"])
rows = st.lists(st.tuples(numbers, skus, quantities, prices), max_size=40)
ratios = st.sampled_from(["0", "0.333333333333333333", "0.5", "1", "1.7"])


@given(rows, ratios)
def test_the_plan_agrees_with_the_simulation(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int, str]], ratio: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "some.csv"
    lines = [full_row(number, sku, str(quantity), price) for number, sku, quantity, price in rows]
    path.write_text("\n".join([HEADER, *lines]))
    agree(path, ratio)


@pytest.mark.parametrize("ratio", ["1", "0.5"])
def test_the_plan_agrees_with_the_simulation_on_the_real_days(real_day: Path, ratio: str) -> None:
    agree(real_day, ratio)


def agree(path: Path, ratio: str) -> None:
    plan, day = plan_of(path, ratio), simulate(path, ratio)
    assert plan.catalogue == day.price
    assert plan.opening_stock == {sku: day.opening[sku] for sku in day.price}
    assert (plan.sales, plan.returns, list(plan.skipped)) == (day.sales, day.returns, day.skipped)
    assert plan.invalid_lines == day.invalid
    assert all(_is_valid(plan, step) for step in plan.steps)
    confirmed, shelf = _played(plan)
    assert confirmed == day.confirmed
    assert shelf == day.shelf


def _played(plan: Plan) -> tuple[list[str], Counter[str]]:
    shelf, confirmed = Counter(plan.opening_stock), []
    for step in plan.steps:
        units = Counter({line.sku: line.quantity for line in step.lines})
        if isinstance(step, Return):
            shelf += units
        elif units <= shelf:
            shelf -= units
            confirmed.append(step.order_id)
    return confirmed, shelf


def _is_valid(plan: Plan, step: Sale | Return) -> bool:
    lines = [msgspec.to_builtins(line) for line in step.lines]
    key, kind = ("order_id", Place) if isinstance(step, Sale) else ("return_id", RecordReturn)
    msgspec.convert({"type": kind.__struct_config__.tag, key: step_id(step), "lines": lines}, kind)
    msgspec.convert({"type": "receive", "receipt_id": "1", "lines": lines}, Receive)
    return all(line.sku in plan.catalogue for line in step.lines)
