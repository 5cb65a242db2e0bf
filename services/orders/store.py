"""Reads and writes the records: short transactions, every one of them conditional on what it found.

All instants are read and compared by the database, whose clock is the only one that all workers share.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from channels.db import database_sync_to_async
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from services.database import unit_of_work

from .contract import Place, RecordReturn
from .models import Order, Record, Return
from .states import HALF_WAY, Status, can_move

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", bound=Record)

CLOCK_STEP = timedelta(milliseconds=1)
"""The finest step of an instant that every database writes: SQLite's clock has milliseconds."""


class Move(NamedTuple):
    """The next status of a record, and what is written with it."""

    status: Status
    fields: dict[str, Any] = {}


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function of this module in a thread. Cancelling is safe: the function runs to its end."""
    run = database_sync_to_async(function, thread_sensitive=False)
    return cast(T, await run(*args, **kwargs))


def open_order(request: Place) -> tuple[Order, bool]:
    """Return the order of that ID, and whether it is new."""
    found = Order.objects.filter(order_id=request.order_id).first()
    if found is not None:
        return found, False
    with unit_of_work(Order):
        return Order.objects.get_or_create(order_id=request.order_id, defaults=_opening("placed", request))


def find_order(order_id: str) -> Order | None:
    """Return the order of that ID, None if there is none."""
    return Order.objects.filter(order_id=order_id).first()


def open_return(request: RecordReturn) -> Return:
    """Return the return of that ID, new or not."""
    with unit_of_work(Return):
        row, _ = Return.objects.get_or_create(return_id=request.return_id, defaults=_opening("recorded", request))
    return row


def find_return(return_id: str) -> Return | None:
    """Return the return of that ID, None if there is none."""
    return Return.objects.filter(return_id=return_id).first()


def _opening(status: Status, request: Place | RecordReturn) -> dict[str, Any]:
    lines = [[line.sku, line.quantity] for line in request.lines]
    return {"status": status, "lines": lines, "customer": request.customer}


def move(row: Record, move: Move) -> bool:
    """Write ``move``, unless another process moved the record first. In both cases ``row`` becomes what is stored.

    Returns:
        Whether this call wrote.
    """
    assert can_move(row.status, move.status), f"{row.status} -> {move.status}"
    written = {"status": move.status, **move.fields}
    if not _update(row, {"status": row.status}, written):
        row.refresh_from_db()
        return False
    for name, value in written.items():
        setattr(row, name, value)
    return True


def stale(model: type[R], older_than: float, limit: int) -> tuple[list[R], int]:
    """Return the ``limit`` half-way records that are untouched longest, and the number of all half-way records."""
    rows = model._default_manager.filter(status__in=HALF_WAY, updated_at__lte=_ago(older_than))
    return list(rows.order_by("updated_at")[:limit]), rows.count()


def claim(row: Record) -> bool:
    """Touch ``row``, unless another process did so after it was read, so that only one reconciler takes the row up."""
    return _update(row, {"status": row.status, "updated_at__lt": row.updated_at + CLOCK_STEP}, {})


def is_older(row: Record, seconds: float) -> bool:
    """Return whether ``row`` was created more than ``seconds`` ago."""
    return type(row)._default_manager.filter(pk=row.pk, created_at__lt=_ago(seconds)).exists()


def _update(row: Record, found: dict[str, Any], written: dict[str, Any]) -> bool:
    """Write if the stored record is still as it was found. ``row.updated_at`` is loaded when it is used."""
    with unit_of_work(type(row)):
        updated = type(row)._default_manager.filter(pk=row.pk, **found).update(updated_at=Now(), **written) == 1
    if updated:
        vars(row).pop("updated_at", None)  # it may have been taken out by the update before
    return updated


def _ago(seconds: float) -> CombinedExpression:
    return Now() - timedelta(seconds=seconds)
