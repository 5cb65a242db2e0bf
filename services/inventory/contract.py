"""What inventory promises: the only service that knows stock. Consumes the channel ``inventory.request``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from servicebus import Request, ServiceError
from services.types import MAX_LINES, PRINTABLE, After, Identifier, Sku, Units

CHANNEL = "inventory.request"
"""The channel of the requests below."""

MAX_RECEIPT_LENGTH = 80
"""Characters of a receipt ID: an identifier and a prefix that says what kind of goods came in."""

ReceiptId = Annotated[str, Meta(min_length=1, max_length=MAX_RECEIPT_LENGTH, pattern=PRINTABLE)]
"""The ID that the caller gives to goods that come in; a receipt counts once."""
ReservationStatus = Literal["reserved", "committed", "released"]


class Line(Struct, frozen=True):
    """Units of one SKU. Several lines of one request may name the same SKU: their units are added up."""

    sku: Sku
    quantity: Units


class StockLine(Struct, frozen=True):
    """The stock of one SKU: ``on_hand`` units lie in the warehouse, and ``reserved`` of them are promised to orders."""

    sku: str
    on_hand: int
    reserved: int


class StockPage(Struct, frozen=True):
    """At most ``limit`` lines in SKU order; ``next_after`` is the ``after`` of the next page, "" on the last."""

    lines: list[StockLine]
    next_after: str
    total_on_hand: int
    total_reserved: int


class GetStock(Request[StockPage], tag="stock", idempotent=True):
    """Read stock: of ``skus`` if given, else of every SKU after ``after``. The totals cover the whole warehouse."""

    skus: Annotated[list[Sku], Meta(max_length=MAX_LINES)] = []
    after: After = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_LINES)] = MAX_LINES


class Received(Struct, frozen=True):
    """The goods of a receipt: ``units`` is the sum of its lines."""

    units: int


class Receive(Request[Received], tag="receive", idempotent=True):
    """Add goods to stock. Idempotent: a ``receipt_id`` counts once."""

    receipt_id: ReceiptId
    lines: Annotated[list[Line], Meta(min_length=1, max_length=MAX_LINES)]


class Reservation(Struct, frozen=True):
    """The reservation of an order as it stands; ``units`` is the sum of its lines."""

    order_id: str
    status: ReservationStatus
    units: int


class Reserve(Request[Reservation], tag="reserve", idempotent=True):
    """Reserve all lines or none. Idempotent per ``order_id``. Raises OutOfStock, ReservationClosed."""

    order_id: Identifier
    lines: Annotated[list[Line], Meta(min_length=1, max_length=MAX_LINES)]


class Release(Request[Reservation], tag="release", idempotent=True):
    """Undo a reservation, committed or not, and put its units back. Idempotent.

    An ``order_id`` without a reservation is closed, so that a Reserve that comes late is refused.
    """

    order_id: Identifier


class Commit(Request[Reservation], tag="commit", idempotent=True):
    """Take the reserved units out of stock. Idempotent. Raises ReservationNotFound, ReservationClosed."""

    order_id: Identifier


class OutOfStock(ServiceError, code="out_of_stock"):
    """The warehouse has too few units of a SKU: the first such SKU in SKU order. Nothing was reserved."""

    sku: str
    available: int
    requested: int


class ReservationNotFound(ServiceError, code="reservation_not_found"):
    """No reservation has this order ID."""

    order_id: str


class ReservationClosed(ServiceError, code="reservation_closed"):
    """The reservation was released. Its order ID cannot be reserved or committed again."""

    order_id: str
