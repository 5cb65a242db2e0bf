"""What orders promises: the only service that knows orders and returns. Consumes ``orders.request``."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from servicebus import Request, ServiceError
from services.types import MAX_LINES, PRINTABLE, Identifier, Sku, Units

CHANNEL = "orders.request"
PLACED = "orders.placed"
CONFIRMED = "orders.confirmed"
REJECTED = "orders.rejected"

Customer = Annotated[str, Meta(max_length=200, pattern=PRINTABLE)]
OrderStatus = Literal["placed", "reserved", "charged", "committed", "confirmed", "undoing", "rejected", "cancelled"]


class Line(Struct, frozen=True):
    sku: Sku
    quantity: Units


class Order(Struct, frozen=True):
    """An order as it stands. ``total`` is what was charged for it, before any refund.

    ``reason`` says why it was undone: an error code such as ``out_of_stock``, or "cancelled", or "given_up".
    """

    order_id: str
    status: OrderStatus
    reason: str
    total: Decimal


class Place(Request[Order], tag="place", idempotent=True):
    """Reserve, charge, commit and confirm. Idempotent per ``order_id``: a repeated one returns the order as it stands.

    A business refusal is a reply with status "rejected", not an error. Raises Unfinished.
    """

    order_id: Identifier
    lines: Annotated[list[Line], Meta(min_length=1, max_length=MAX_LINES)]
    customer: Customer = ""


class GetOrder(Request[Order], tag="get", idempotent=True):
    """Raises OrderNotFound."""

    order_id: Identifier


class Cancel(Request[Order], tag="cancel", idempotent=True):
    """Give back the goods and the money of an order. Idempotent. Raises OrderNotFound, Unfinished."""

    order_id: Identifier


class Return(Struct, frozen=True):
    return_id: str
    status: Literal["recorded", "received", "credited"]
    credited: Decimal


class RecordReturn(Request[Return], tag="record_return", idempotent=True):
    """Restock returned goods and credit them at catalogue price. Once per ``return_id``.

    Raises UnknownSku, of pricing, with nothing recorded; Unfinished.
    """

    return_id: Identifier
    lines: Annotated[list[Line], Meta(min_length=1, max_length=MAX_LINES)]
    customer: Customer = ""


class Reconciled(Struct, frozen=True):
    """How many of the half-way orders and returns were ``finished`` or ``undone`` now, and how many are ``left``."""

    finished: int
    undone: int
    left: int


class Reconcile(Request[Reconciled], tag="reconcile"):
    """Finish or undo what a crash left half-way and nobody touched for ``older_than`` seconds, a hundred at a time."""

    older_than: Annotated[float, Meta(ge=0)] = 10.0


class OrderEvent(Struct, frozen=True):
    """The body of ``orders.placed``, ``orders.confirmed`` and ``orders.rejected``."""

    order_id: str
    status: OrderStatus
    reason: str
    total: Decimal


class OrderNotFound(ServiceError, code="order_not_found"):
    order_id: str


class Unfinished(ServiceError, code="unfinished"):
    """A service that orders needs did not do its part in time; ``cause`` says which and why.

    The order or return ``id`` is half-way at ``status``, "" when it is not even written down. Asking again resumes it;
    else the reconciler does.
    """

    retryable = True

    id: str
    status: str
    cause: str
