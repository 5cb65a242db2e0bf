"""Prices of many lines at once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from services.money import ZERO, rounded

from .contract import Line, Quotation, QuotedLine, UnknownSku


def quotation(lines: Iterable[Line], prices: Mapping[str, Decimal]) -> Quotation:
    """Price each line, rounded to the cent, and sum the lines up.

    Raises:
        UnknownSku: for the first line whose SKU has no price.
    """
    quoted = [_quoted(line, prices) for line in lines]
    return Quotation(lines=quoted, total=sum((line.amount for line in quoted), ZERO))


def _quoted(line: Line, prices: Mapping[str, Decimal]) -> QuotedLine:
    if line.sku not in prices:
        raise UnknownSku(sku=line.sku)
    unit_price = prices[line.sku]
    return QuotedLine(line.sku, line.quantity, unit_price, rounded(unit_price * line.quantity))
