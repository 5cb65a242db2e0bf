from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.money import MoneyField, is_amount, is_unit_price, rounded

AMOUNTS = st.decimals(min_value=0, max_value=10**16, places=2, allow_nan=False)


@given(amount=AMOUNTS)
def test_an_amount_comes_back_from_the_database_as_it_went_in(amount: Decimal) -> None:
    field = MoneyField()
    stored = field.get_prep_value(amount)
    assert isinstance(stored, int)
    assert field.from_db_value(stored) == amount
    assert str(field.from_db_value(stored)) == f"{amount:.2f}"


def test_a_price_of_less_than_a_cent_keeps_its_places() -> None:
    field = MoneyField(places=4)
    assert str(field.from_db_value(field.get_prep_value(Decimal("0.001")))) == "0.0010"
    assert str(field.from_db_value(field.get_prep_value(Decimal("2.5500")))) == "2.55"


@pytest.mark.parametrize(("exact", "cents"), [("0.005", "0.01"), ("0.0049", "0.00"), ("2.675", "2.68"), ("3", "3.00")])
def test_half_a_cent_is_rounded_up(exact: str, cents: str) -> None:
    assert str(rounded(Decimal(exact))) == cents


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+999999", "1E-999999", "-0.01", "0.001"])
def test_what_is_no_amount_cannot_be_charged(text: str) -> None:
    assert not is_amount(Decimal(text))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1E+999999", "1E-999999", "0", "-1", "0.00001", "1000000.01"])
def test_what_is_no_price_cannot_be_set(text: str) -> None:
    assert not is_unit_price(Decimal(text))


@pytest.mark.parametrize("text", ["0.0001", "2.55", "1E+2", "1000000"])
def test_prices_have_up_to_four_places(text: str) -> None:
    assert is_unit_price(Decimal(text))
