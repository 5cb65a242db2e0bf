"""Reads and moves stock. Every change runs inside a unit of work and locks rows in SKU order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.db.models import Sum

from services.database import unit_of_work

from .contract import GetStock, Receive, Received, StockLine, StockPage
from .models import Receipt, Stock
from .moves import RECEIVE, Move, added_up


def page(request: GetStock) -> StockPage:
    """The stock lines that ``request`` asks for, and the totals of the warehouse."""
    rows = Stock.objects.order_by("sku").filter(sku__gt=request.after)
    if request.skus:
        rows = rows.filter(sku__in=request.skus)
    found = [StockLine(row.sku, row.on_hand, row.reserved) for row in rows[: request.limit + 1]]
    lines = found[: request.limit]
    totals = Stock.objects.aggregate(on_hand=Sum("on_hand"), reserved=Sum("reserved"))
    return StockPage(
        lines=lines,
        next_after=lines[-1].sku if len(found) > len(lines) else "",
        total_on_hand=int(totals["on_hand"] or 0),
        total_reserved=int(totals["reserved"] or 0),
    )


def receive(request: Receive) -> Received:
    """Add goods once per receipt; SKUs that are new are created."""
    units = added_up(request.lines)
    with unit_of_work(Stock):
        receipt, is_new = Receipt.objects.get_or_create(
            receipt_id=request.receipt_id, defaults={"units": sum(units.values())}
        )
        if is_new:
            create_missing(units)
            move(RECEIVE, units, locked(units))
    return Received(units=receipt.units)


def locked(skus: Iterable[str]) -> dict[str, Stock]:
    """Lock the existing rows of ``skus`` until the unit of work ends, and return them by SKU.

    All callers lock in SKU order, so no deadlock can arise.
    """
    rows = Stock.objects.select_for_update().filter(sku__in=list(skus)).order_by("sku")
    return {row.sku: row for row in rows}


def create_missing(skus: Iterable[str]) -> None:
    """Create an empty row for each SKU that has none, in SKU order.

    Another process may create the same rows meanwhile.
    """
    wanted = list(skus)
    known = set(Stock.objects.filter(sku__in=wanted).values_list("sku", flat=True))
    Stock.objects.bulk_create([Stock(sku=sku) for sku in wanted if sku not in known], ignore_conflicts=True)


def move(move: Move, units: Mapping[str, int], rows: Mapping[str, Stock]) -> None:
    """Apply ``move`` to ``units`` of each SKU. ``rows`` are locked and hold every SKU of ``units``."""
    for sku, quantity in units.items():
        rows[sku].on_hand += move.on_hand * quantity
        rows[sku].reserved += move.reserved * quantity
    Stock.objects.bulk_create(
        [rows[sku] for sku in units],
        update_conflicts=True,
        unique_fields=["sku"],
        update_fields=["on_hand", "reserved"],
    )
