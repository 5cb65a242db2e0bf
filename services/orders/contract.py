"""What orders promises: the only service that knows orders and returns. Consumes ``orders.request``."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from servicebus import Request, ServiceError
from services.pricing.contract import UnknownSku
from services.types import MAX_LINES, PRINTABLE, Identifier, Sku, Units

CHANNEL = "orders.request"
"""The channel of the requests below."""
PLACED = "orders.placed"
"""The event of an order that was written down."""
CONFIRMED = "orders.confirmed"
"""The event of an order whose goods and money were taken."""
REJECTED = "orders.rejected"
"""The event of an order that was undone because a service refused a step."""

Customer = Annotated[str, Meta(max_length=200, pattern=PRINTABLE)]
OrderStatus = Literal["placed", "reserved", "charged", "committed", "confirmed", "undoing", "rejected", "cancelled"]


class Line(Struct, frozen=True):
    """Units of one SKU. Several lines of one request may name the same SKU."""

    sku: Sku
    quantity: Units


class Order(Struct, frozen=True):
    """An order as it stands. ``total`` is the amount that was charged for it, before any refund.

    ``reason`` is why the order was undone: an error code such as ``out_of_stock``, or "cancelled", or "given_up".
    """

    order_id: str
    status: OrderStatus
    reason: str
    total: Decimal


class Place(Request[Order], tag="place", idempotent=True):
    """Reserve, charge, commit and confirm.

    Idempotent per ``order_id``: a repeated Place returns the order as it stands.

    A business refusal is a reply with status "rejected", not an error. Raises Unfinished.
    """

    order_id: Identifier
    lines: Annotated[list[Line], Meta(min_length=1, max_length=MAX_LINES)]
    customer: Customer = ""


class GetOrder(Request[Order], tag="get", idempotent=True):
    """Read an order. Raises OrderNotFound."""

    order_id: Identifier


class Cancel(Request[Order], tag="cancel", idempotent=True):
    """Give back the goods and the money of an order. Idempotent. Raises OrderNotFound, Unfinished."""

    order_id: Identifier


class Return(Struct, frozen=True):
    """A return of goods as it stands; ``credited`` is the money that was credited for it."""

    return_id: str
    status: Literal["recorded", "received", "credited"]
    credited: Decimal


class RecordReturn(Request[Return], tag="record_return", idempotent=True, errors=(UnknownSku,)):
    """Restock returned goods and credit them at catalogue price. Once per ``return_id``.

    Raises UnknownSku, of pricing, with nothing recorded; Unfinished.
    """

    return_id: Identifier
    lines: Annotated[list[Line], Meta(min_length=1, max_length=MAX_LINES)]
    customer: Customer = ""


class Reconciled(Struct, frozen=True):
    """The result of one round over the half-way orders and returns.

    ``finished`` and ``undone`` count those that this round completed, ``left`` those that are still half-way.
    """

    finished: int
    undone: int
    left: int


class Reconcile(Request[Reconciled], tag="reconcile"):
    """Finish or undo the orders and returns that a crash left half-way.

    One round takes a hundred of each that nobody touched for ``older_than`` seconds.
    """

    older_than: Annotated[float, Meta(ge=0)] = 10.0


class OrderEvent(Struct, frozen=True):
    """The body of ``orders.placed``, ``orders.confirmed`` and ``orders.rejected``."""

    order_id: str
    status: OrderStatus
    reason: str
    total: Decimal


class OrderNotFound(ServiceError, code="order_not_found"):
    """No order has this ID."""

    order_id: str


class Unfinished(ServiceError, code="unfinished"):
    """A service that orders needs did not do its part in time; ``cause`` names the service and the reason.

    The order or return ``id`` is half-way at ``status``, or not even written down if ``status`` is "". The same
    request again resumes it, and so does the reconciler.
    """

    retryable = True

    id: str
    status: str
    cause: str
