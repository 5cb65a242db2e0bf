"""Exact money: Decimal in Python, whole numbers in the database, so that a sum is exact on SQLite too."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from django.db import models

from services.types import MAX_LINES, MAX_UNIT_PRICE, MAX_UNITS, PRICE_PLACES

CENT = Decimal("0.01")
"""The smallest amount of money."""
ZERO = Decimal("0.00")
"""No money, with the two places of an amount."""
MAX_AMOUNT = Decimal(MAX_LINES * MAX_UNITS * MAX_UNIT_PRICE)
"""The highest amount of money: what a request of the most lines can come to, each of the most units at the highest
price."""

if TYPE_CHECKING:
    _Base = models.Field[Decimal, Decimal]
else:
    _Base = models.BigIntegerField


def rounded(amount: Decimal) -> Decimal:
    """Return ``amount`` with two places; half a cent is rounded up."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def is_amount(value: Decimal) -> bool:
    """Return whether ``value`` can be charged: from zero to MAX_AMOUNT, without a fraction of a cent."""
    return value.is_finite() and 0 <= value <= MAX_AMOUNT and value == rounded(value)


def is_unit_price(value: Decimal) -> bool:
    """Return whether ``value`` can be a price: above zero, up to MAX_UNIT_PRICE, at most four places."""
    return value.is_finite() and 0 < value <= MAX_UNIT_PRICE and value == round(value, PRICE_PLACES)


class MoneyField(_Base):
    """A Decimal of ``places`` places, stored as a whole number of its smallest unit.

    It reads with at least two places.
    """

    def __init__(self, *args: Any, places: int = 2, **kwargs: Any) -> None:
        self.places = places
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "places": self.places}

    def get_internal_type(self) -> str:
        return "BigIntegerField"

    def get_prep_value(self, value: Any) -> int | None:
        return None if value is None else int(Decimal(value).scaleb(self.places))

    def from_db_value(self, value: Any, *_: Any) -> Decimal | None:
        if value is None:
            return None
        exact = Decimal(int(value)).scaleb(-self.places)
        two = exact.quantize(CENT, ROUND_HALF_UP)
        return two if two == exact else exact

    def to_python(self, value: Any) -> Any:
        return value if value is None else Decimal(value)
