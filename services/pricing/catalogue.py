"""The catalogue: one price for each SKU."""

from __future__ import annotations

from collections.abc import Sequence

from services.database import unit_of_work
from services.money import is_unit_price

from .contract import GetCatalogue, InvalidPrice, Line, PriceList, PricesSet, Quotation, SetPrices
from .contract import Price as ContractPrice
from .models import Price
from .quoting import quotation


def page(request: GetCatalogue) -> PriceList:
    """The prices after ``request.after``, in SKU order."""
    rows = Price.objects.order_by("sku").filter(sku__gt=request.after)
    found = [ContractPrice(row.sku, row.unit_price) for row in rows[: request.limit + 1]]
    prices = found[: request.limit]
    return PriceList(prices=prices, next_after=prices[-1].sku if len(found) > len(prices) else "")


def set_prices(request: SetPrices) -> PricesSet:
    """Create or replace all of these prices. If a SKU occurs twice, its last price counts.

    Raises:
        InvalidPrice: a price is out of bounds; no price is set.
    """
    for price in request.prices:
        if not is_unit_price(price.unit_price):
            raise InvalidPrice(sku=price.sku, unit_price=price.unit_price)
    prices = {price.sku: price.unit_price for price in request.prices}
    rows = [Price(sku=sku, unit_price=prices[sku]) for sku in sorted(prices)]
    with unit_of_work(Price):
        Price.objects.bulk_create(rows, update_conflicts=True, unique_fields=["sku"], update_fields=["unit_price"])
    return PricesSet(count=len(rows))


def quote(lines: Sequence[Line]) -> Quotation:
    """Price every line, with one query."""
    prices = Price.objects.filter(sku__in={line.sku for line in lines})
    return quotation(lines, {price.sku: price.unit_price for price in prices})
