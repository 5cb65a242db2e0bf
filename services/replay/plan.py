"""The rules of the replay: from invoices to a catalogue, opening stock and steps. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from msgspec import Struct

from services.types import MAX_ID_LENGTH, MAX_LINES, MAX_UNITS

from .orders_file import Invoice, OrderLine

Reason = Literal[
    "bad_sku",
    "not_in_catalogue",
    "price_not_positive",
    "quantity_not_negative",
    "quantity_not_positive",
    "too_many_lines",
]

MAX_BYTES = 63_000
"""Bytes of a quotation, the largest message about an invoice: the default size of a message, less its envelope."""
_LINE_BYTES = 44
"""Bytes of one line of a quotation without its SKU and its two amounts: field names and lengths."""


class PlanLine(Struct, frozen=True):
    """Units of one SKU. A SKU stands on several lines only if one line of the contract cannot hold its units."""

    sku: str
    quantity: int


class Sale(Struct, frozen=True):
    """An order to place: its valid lines, added up by SKU, in order of first appearance."""

    order_id: str
    customer: str
    lines: tuple[PlanLine, ...]


class Return(Struct, frozen=True):
    """A return of goods: its valid lines, added up by SKU, with positive quantities."""

    return_id: str
    customer: str
    lines: tuple[PlanLine, ...]


Step = Sale | Return


class Plan(Struct, frozen=True):
    """What to load and which steps to run, in file order.

    ``sales`` and ``returns`` count all, with or without a valid line.
    """

    catalogue: dict[str, Decimal]
    opening_stock: dict[str, int]
    steps: tuple[Step, ...]
    sales: int
    returns: int
    skipped: tuple[str, ...]
    invalid_lines: dict[Reason, int]


def make_plan(invoices: Sequence[Invoice], stock_ratio: Decimal = Decimal(1)) -> Plan:
    """Make a plan by the rules. ``stock_ratio`` must be finite and not negative."""
    prices = catalogue(invoices)
    checked = [_checked(invoice, prices) for invoice in invoices]
    steps = tuple(step for step, _ in checked if step.lines)
    returns = sum(_is_return(invoice) for invoice in invoices)
    return Plan(
        catalogue=prices,
        opening_stock=_opening_stock(prices, steps, stock_ratio),
        steps=steps,
        sales=len(invoices) - returns,
        returns=returns,
        skipped=tuple(step.order_id for step, _ in checked if isinstance(step, Sale) and not step.lines),
        invalid_lines=_counted(invalid for _, invalid in checked),
    )


def _counted(parts: Iterable[Counter[Reason]]) -> dict[Reason, int]:
    total = Counter[Reason]()
    for part in parts:
        total.update(part)
    return dict(sorted(total.items()))


def catalogue(invoices: Iterable[Invoice]) -> dict[str, Decimal]:
    """Return the most frequent positive price of each SKU; of equally frequent prices the highest."""
    seen: dict[str, Counter[Decimal]] = defaultdict(Counter)
    for invoice in invoices:
        for line in invoice.lines:
            if line.unit_price > 0 and _is_sku(line.sku):
                seen[line.sku][line.unit_price] += 1
    return {sku: max(prices, key=lambda price: (prices[price], price)) for sku, prices in seen.items()}


def _opening_stock(prices: Iterable[str], steps: Iterable[Step], ratio: Decimal) -> dict[str, int]:
    """Return ratio times the units sold, rounded down, for each SKU. A Fraction is exact where a Decimal may round."""
    sold = dict.fromkeys(prices, 0)
    for step in steps:
        for line in step.lines if isinstance(step, Sale) else ():
            sold[line.sku] += line.quantity
    exact = Fraction(ratio)
    return {sku: int(exact * units) for sku, units in sold.items()}


def _checked(invoice: Invoice, prices: dict[str, Decimal]) -> tuple[Step, Counter[Reason]]:
    fault = _return_fault if _is_return(invoice) else _sale_fault
    basket, invalid = _Basket(prices), Counter[Reason]()
    for line in invoice.lines:
        reason = fault(line, prices) or basket.add(line.sku, abs(line.quantity))
        if reason:
            invalid[reason] += 1
    make: Callable[[str, str, tuple[PlanLine, ...]], Step] = Return if _is_return(invoice) else Sale
    return make(invoice.number, invoice.customer, basket.lines()), invalid


def _sale_fault(line: OrderLine, prices: dict[str, Decimal]) -> Reason | None:
    if line.quantity <= 0:
        return "quantity_not_positive"
    if line.unit_price <= 0:
        return "price_not_positive"
    return _sku_fault(line.sku, prices)


def _return_fault(line: OrderLine, prices: dict[str, Decimal]) -> Reason | None:
    if line.quantity >= 0:
        return "quantity_not_negative"
    return _sku_fault(line.sku, prices)


def _sku_fault(sku: str, prices: dict[str, Decimal]) -> Reason | None:
    if not _is_sku(sku):
        return "bad_sku"
    return None if sku in prices else "not_in_catalogue"


def _is_sku(sku: str) -> bool:
    return 1 <= len(sku) <= MAX_ID_LENGTH


def _is_return(invoice: Invoice) -> bool:
    return invoice.number.startswith("C")


def split(units: Mapping[str, int]) -> Iterator[PlanLine]:
    """Yield request lines for these units: one for each SKU, or more if one line cannot hold them."""
    for sku, left in units.items():
        while left > 0:
            yield PlanLine(sku, min(left, MAX_UNITS))
            left -= MAX_UNITS


class _Basket:
    """Adds up units by SKU and refuses what one request cannot carry."""

    def __init__(self, prices: Mapping[str, Decimal]) -> None:
        self._prices = prices
        self._units: dict[str, int] = {}
        self._lines = self._bytes = 0

    def add(self, sku: str, units: int) -> Reason | None:
        held = self._units.get(sku, 0)
        lines = self._lines + _lines_for(held + units) - _lines_for(held)
        size = self._bytes + self._size(sku, held + units) - self._size(sku, held)
        if lines > MAX_LINES or size > MAX_BYTES:
            return "too_many_lines"
        self._units[sku], self._lines, self._bytes = held + units, lines, size
        return None

    def lines(self) -> tuple[PlanLine, ...]:
        return tuple(split(self._units))

    def _size(self, sku: str, units: int) -> int:
        price = self._prices[sku]
        amounts = len(f"{price}{price * min(units, MAX_UNITS)}")
        return _lines_for(units) * (_LINE_BYTES + len(sku.encode()) + amounts)


def _lines_for(units: int) -> int:
    return -(-units // MAX_UNITS)
