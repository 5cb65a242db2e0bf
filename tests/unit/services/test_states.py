from __future__ import annotations

from typing import get_args

import pytest

from services.orders.contract import OrderStatus
from services.orders.states import (
    CANCELLED_FROM,
    FINAL,
    GIVEN_UP_FROM,
    HALF_WAY,
    TRANSITIONS,
    ReturnStatus,
    Status,
    can_move,
    undone_as,
)
from services.orders.steps import ORDER_STEPS, RETURN_STEPS

ORDERS: set[Status] = set(get_args(OrderStatus))
RETURNS: set[Status] = set(get_args(ReturnStatus))


def reachable(start: Status) -> set[Status]:
    found: set[Status] = {start}
    while more := {after for status in found for after in TRANSITIONS[status]} - found:
        found |= more
    return found


def test_every_status_is_in_the_table_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == ORDERS | RETURNS
    assert reachable("placed") == ORDERS
    assert reachable("recorded") == RETURNS


def test_no_status_comes_back() -> None:
    for status in TRANSITIONS:
        assert all(status not in reachable(after) for after in TRANSITIONS[status])


def test_every_half_way_status_has_a_step_and_no_final_one() -> None:
    assert set(ORDER_STEPS) | set(RETURN_STEPS) == HALF_WAY
    assert not FINAL & set(ORDER_STEPS)


def test_every_half_way_status_leads_to_a_final_one() -> None:
    for status in HALF_WAY:
        assert reachable(status) & FINAL


@pytest.mark.parametrize("status", ["placed", "reserved", "charged", "committed", "confirmed"])
def test_every_order_that_holds_goods_or_money_can_be_undone(status: Status) -> None:
    assert can_move(status, "undoing")
    assert status in CANCELLED_FROM
    assert reachable("undoing") == {"undoing", "rejected", "cancelled"}


@pytest.mark.parametrize("status", ["rejected", "cancelled", "credited"])
def test_what_is_over_stays_over(status: Status) -> None:
    assert not TRANSITIONS[status]


def test_only_a_cancelled_order_ends_as_cancelled() -> None:
    assert undone_as("cancelled") == "cancelled"
    assert undone_as("out_of_stock") == undone_as("given_up") == undone_as("") == "rejected"


def test_an_order_that_needs_nothing_more_is_not_given_up() -> None:
    assert GIVEN_UP_FROM < HALF_WAY
    assert "committed" not in GIVEN_UP_FROM
