"""Before the first step: the catalogue and the opening stock, loaded in pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from services.inventory import contract as inventory
from services.pricing import contract as pricing

from .client import Client
from .outcomes import Books
from .plan import Plan, split

PAGE_LINES = 400
"""Lines of one request: each takes a moment at the service, so that a request is far from its deadline."""
PAGE_BYTES = 48_000
"""Bytes of one request: three quarters of the largest message."""
RECEIPT = "opening-{:06}"
"""The receipt ID of a page of opening stock, by the number of the page."""
_LINE_BYTES = 64
"""Bytes of a price or a line without its SKU: at most."""

Line = TypeVar("Line", pricing.Price, inventory.Line)


async def load(client: Client, plan: Plan) -> None:
    """Set every price and receive every unit. Cancelling is safe: both operations are idempotent.

    Raises:
        ServiceBusError: a call failed.
    """
    for prices in pages(pricing.Price(sku=sku, unit_price=price) for sku, price in plan.catalogue.items()):
        await client.call(pricing.CHANNEL, pricing.SetPrices(prices=prices))
    goods = (inventory.Line(sku=line.sku, quantity=line.quantity) for line in split(plan.opening_stock))
    for number, lines in enumerate(pages(goods)):
        await client.call(inventory.CHANNEL, inventory.Receive(receipt_id=RECEIPT.format(number), lines=lines))


async def read_books(client: Client) -> Books:
    """Read the stock of inventory and the ledger of pricing. Cancelling is safe.

    Raises:
        ServiceBusError: a call failed.
    """
    stock = await client.call(inventory.CHANNEL, inventory.GetStock(limit=1))
    ledger = await client.call(pricing.CHANNEL, pricing.GetLedger())
    return Books(stock.total_on_hand, stock.total_reserved, ledger.charged, ledger.refunded, ledger.credited)


def pages(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield the lines in order, in pages that are as full as one request may be."""
    page: list[Line] = []
    size = 0
    for line in lines:
        more = len(line.sku.encode()) + _LINE_BYTES
        if page and (len(page) == PAGE_LINES or size + more > PAGE_BYTES):
            yield page
            page, size = [], 0
        page.append(line)
        size += more
    if page:
        yield page
