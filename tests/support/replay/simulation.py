"""The rules of the replay, once more and differently: csv, Counter and Decimal, nothing of services.replay.

One invoice after the other, with a shelf and a till. What contract limits refuse is not modelled.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal, localcontext
from pathlib import Path


@dataclass
class Day:
    """What a day of orders comes to, placed one at a time."""

    price: dict[str, Decimal] = field(default_factory=dict)
    opening: Counter[str] = field(default_factory=Counter)
    shelf: Counter[str] = field(default_factory=Counter)
    sales: int = 0
    returns: int = 0
    skipped: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    out_of_stock: list[str] = field(default_factory=list)
    invalid: Counter[str] = field(default_factory=Counter)
    charged: Decimal = Decimal(0)
    refunded: Decimal = Decimal(0)


def simulate(path: Path, ratio: str = "1") -> Day:
    """Return what a day of orders comes to, with opening stock of ``ratio`` times the units sold."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    day = Day(price=_prices(rows))
    for sku, units in _sold(rows).items():
        with localcontext(prec=100):
            day.opening[sku] = int((Decimal(ratio) * units).to_integral_value(ROUND_DOWN))
    day.shelf.update(day.opening)
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        groups[row["InvoiceNo"]] = groups.get(row["InvoiceNo"], []) + [row]
    for number, group in groups.items():
        (_take_back if number[:1] == "C" else _sell)(day, number, group)
    return day


def _prices(rows: list[dict[str, str]]) -> dict[str, Decimal]:
    tally: defaultdict[str, Counter[Decimal]] = defaultdict(Counter)
    for row in rows:
        if Decimal(row["UnitPrice"]) > 0:
            tally[row["StockCode"]].update([Decimal(row["UnitPrice"])])
    best = {}
    for sku, count in tally.items():
        top = max(count.values())
        best[sku] = max(price for price in count if count[price] == top)
    return best


def _good(row: dict[str, str]) -> bool:
    return int(row["Quantity"]) > 0 and Decimal(row["UnitPrice"]) > 0


def _sold(rows: list[dict[str, str]]) -> Counter[str]:
    units: Counter[str] = Counter()
    for row in rows:
        if not row["InvoiceNo"].startswith("C") and _good(row):
            units[row["StockCode"]] += int(row["Quantity"])
    return units


def _sell(day: Day, number: str, rows: list[dict[str, str]]) -> None:
    day.sales += 1
    wanted: Counter[str] = Counter()
    for row in rows:
        if _good(row):
            wanted[row["StockCode"]] += int(row["Quantity"])
        else:
            day.invalid["quantity_not_positive" if int(row["Quantity"]) <= 0 else "price_not_positive"] += 1
    if not wanted:
        day.skipped.append(number)
    elif any(units > day.shelf[sku] for sku, units in wanted.items()):
        day.out_of_stock.append(number)
    else:
        day.shelf.subtract(wanted)
        day.confirmed.append(number)
        day.charged += sum(units * day.price[sku] for sku, units in wanted.items())


def _take_back(day: Day, number: str, rows: list[dict[str, str]]) -> None:
    day.returns += 1
    for row in rows:
        units = -int(row["Quantity"])
        if units <= 0:
            day.invalid["quantity_not_negative"] += 1
        elif row["StockCode"] not in day.price:
            day.invalid["not_in_catalogue"] += 1
        else:
            day.shelf[row["StockCode"]] += units
            day.refunded += units * day.price[row["StockCode"]]
