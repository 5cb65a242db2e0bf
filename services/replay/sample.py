"""A small generated day of orders: the same invoices every time."""

from __future__ import annotations

import random
from decimal import Decimal

from .orders_file import Invoice, OrderLine

INVOICES = 60
"""Invoices of the day: the demo takes a few seconds."""
SEED = 2010
"""The seed of the generator: with it the day has every kind of invoice and line."""

_GOODS = {
    "10001": Decimal("2.55"),
    "10002": Decimal("0.85"),
    "10003A": Decimal("3.39"),
    "10003B": Decimal("3.75"),
    "10010": Decimal("1.25"),
    "10011": Decimal("4.95"),
    "10020": Decimal("7.65"),
    "10021": Decimal("0.42"),
    "10030": Decimal("12.75"),
    "10031": Decimal("16.95"),
    "10040": Decimal("2.10"),
    "10041": Decimal("1.65"),
}
_WRITE_OFF = OrderLine("10099", -5, Decimal(0))
_FREE = OrderLine("10001", 1, Decimal(0))
_UNKNOWN = OrderLine("10098", -1, Decimal("0.00"))


def sample_orders() -> tuple[Invoice, ...]:
    """Return sixty invoices: most are sales, some are returns, and some have lines that no rule accepts."""
    choose = random.Random(SEED)
    return tuple(_invoice(choose, index) for index in range(INVOICES))


def _invoice(choose: random.Random, index: int) -> Invoice:
    number, customer = str(900000 + index), str(choose.randint(12000, 12020))
    if index % 10 == 9:
        return Invoice("C" + number, customer, _returned(choose, bad=index % 20 == 9))
    if index % 25 == 24:
        return Invoice(number, "", (_WRITE_OFF,))
    extra = (_FREE,) if index % 12 == 5 else ()
    return Invoice(number, customer, _sold(choose) + extra)


def _sold(choose: random.Random) -> tuple[OrderLine, ...]:
    skus = choose.choices(list(_GOODS), k=choose.randint(1, 8))
    return tuple(OrderLine(sku, choose.randint(1, 24), _GOODS[sku]) for sku in skus)


def _returned(choose: random.Random, bad: bool) -> tuple[OrderLine, ...]:
    skus = choose.sample(list(_GOODS), k=choose.randint(1, 2))
    lines = tuple(OrderLine(sku, -choose.randint(1, 3), _GOODS[sku]) for sku in skus)
    return lines + ((_UNKNOWN,) if bad else ())
