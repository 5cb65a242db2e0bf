"""Reservations: all lines or none, once per order, each in one transaction and a handful of queries.

Every operation locks the reservation first and the stock after it.
"""

from __future__ import annotations

from django.db.models.functions import Now

from services.database import unit_of_work

from .contract import Reservation, ReservationClosed, ReservationNotFound, ReservationStatus, Reserve
from .models import Reservation as Row
from .models import Stock
from .moves import COMMIT, RELEASE, RESERVE, added_up, shortage
from .stock import locked, move


def reserve(request: Reserve) -> Reservation:
    """Reserve every line, or none.

    Raises:
        OutOfStock: too few units of a SKU; nothing is reserved.
        ReservationClosed: the order was released.
    """
    units = added_up(request.lines)
    with unit_of_work(Stock):
        row, is_new = Row.objects.get_or_create(
            order_id=request.order_id,
            defaults={"status": "reserved", "lines": units, "units": sum(units.values())},
        )
        if is_new:
            _promise(units)
    if row.status == "released":
        raise ReservationClosed(order_id=row.order_id)
    return _reply(row)


def _promise(units: dict[str, int]) -> None:
    rows = locked(units)
    refusal = shortage(units, {sku: row.on_hand - row.reserved for sku, row in rows.items()})
    if refusal is not None:
        raise refusal
    move(RESERVE, units, rows)


def release(order_id: str) -> Reservation:
    """Put the units of an order back, or close an order without a reservation."""
    with unit_of_work(Stock):
        row, _ = Row.objects.select_for_update().get_or_create(order_id=order_id, defaults={"status": "released"})
        if row.status in RELEASE:
            move(RELEASE[row.status], row.lines, locked(row.lines))
            _set(row, "released")
    return _reply(row)


def commit(order_id: str) -> Reservation:
    """Take the reserved units of an order out of stock.

    Raises:
        ReservationNotFound: the order has no reservation.
        ReservationClosed: the order was released.
    """
    with unit_of_work(Stock):
        row = Row.objects.select_for_update().filter(order_id=order_id).first()
        if row is None:
            raise ReservationNotFound(order_id=order_id)
        if row.status == "released":
            raise ReservationClosed(order_id=order_id)
        if row.status == "reserved":
            move(COMMIT, row.lines, locked(row.lines))
            _set(row, "committed")
    return _reply(row)


def _set(row: Row, status: ReservationStatus) -> None:
    row.status, row.updated_at = status, Now()
    row.save(update_fields=["status", "updated_at"])


def _reply(row: Row) -> Reservation:
    return Reservation(order_id=row.order_id, status=row.status, units=row.units)
