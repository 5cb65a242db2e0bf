"""The arithmetic of stock: what each move of units does to a SKU, and when units are missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .contract import Line, OutOfStock, ReservationStatus


class Move(NamedTuple):
    """What one unit adds to ``on_hand`` and to ``reserved``."""

    on_hand: int
    reserved: int


RECEIVE = Move(on_hand=+1, reserved=0)
"""Goods come in."""
RESERVE = Move(on_hand=0, reserved=+1)
"""Units are promised to an order."""
COMMIT = Move(on_hand=-1, reserved=-1)
"""Promised units leave the warehouse."""
RELEASE: Mapping[ReservationStatus, Move] = {
    "reserved": Move(on_hand=0, reserved=-1),
    "committed": Move(on_hand=+1, reserved=0),
}


def added_up(lines: Iterable[Line]) -> dict[str, int]:
    """Units of each SKU, in SKU order."""
    units: dict[str, int] = {}
    for line in lines:
        units[line.sku] = units.get(line.sku, 0) + line.quantity
    return dict(sorted(units.items()))


def shortage(units: Mapping[str, int], available: Mapping[str, int]) -> OutOfStock | None:
    """The refusal for the first SKU of ``units`` that has too few ``available``; None when all have enough."""
    for sku, requested in units.items():
        if available.get(sku, 0) < requested:
            return OutOfStock(sku=sku, available=available.get(sku, 0), requested=requested)
    return None
