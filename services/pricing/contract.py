"""What pricing promises: the only service that knows prices and moves money. Consumes ``pricing.request``."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from servicebus import Request, ServiceError
from services.types import MAX_LINES, After, Identifier, Sku, Units

CHANNEL = "pricing.request"

PaymentStatus = Literal["charged", "refunded", "voided"]


class Price(Struct, frozen=True):
    sku: Sku
    unit_price: Decimal


class Line(Struct, frozen=True):
    sku: Sku
    quantity: Units


class PriceList(Struct, frozen=True):
    """At most ``limit`` prices in SKU order; ``next_after`` is the ``after`` of the next page, "" on the last."""

    prices: list[Price]
    next_after: str


class GetCatalogue(Request[PriceList], tag="catalogue", idempotent=True):
    after: After = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_LINES)] = MAX_LINES


class PricesSet(Struct, frozen=True):
    count: int


class SetPrices(Request[PricesSet], tag="set_prices", idempotent=True):
    """Create or replace the prices of these SKUs, all or none. Raises InvalidPrice.

    A price is over nothing, a million at most, and has at most four places. A line is rounded to the cent, half up.
    """

    prices: Annotated[list[Price], Meta(min_length=1, max_length=MAX_LINES)]


class QuotedLine(Struct, frozen=True):
    sku: str
    quantity: int
    unit_price: Decimal
    amount: Decimal


class Quotation(Struct, frozen=True):
    lines: list[QuotedLine]
    total: Decimal


class Quote(Request[Quotation], tag="quote", idempotent=True):
    """Price many lines at once. Raises UnknownSku.

    ``itemized`` False: the total only, for a quotation that would be too large to send line by line.
    """

    lines: Annotated[list[Line], Meta(min_length=1, max_length=MAX_LINES)]
    itemized: bool = True


class Payment(Struct, frozen=True):
    """``amount`` is what was charged, ``refunded`` what of it went back; both have two places."""

    payment_id: str
    status: PaymentStatus
    amount: Decimal
    refunded: Decimal


class Charge(Request[Payment], tag="charge", idempotent=True):
    """Charge once per ``payment_id``, which keeps the amount it was first charged with. Two places at most.

    Raises PaymentDeclined, PaymentClosed, InvalidAmount.
    """

    payment_id: Identifier
    amount: Decimal


class Refund(Request[Payment], tag="refund", idempotent=True):
    """Give back a whole charge. Idempotent.

    A ``payment_id`` that was never charged is voided, so that a charge that comes late is refused.
    """

    payment_id: Identifier


class Credit(Struct, frozen=True):
    credit_id: str
    amount: Decimal


class CreditReturn(Request[Credit], tag="credit_return", idempotent=True):
    """Credit returned goods at catalogue price. Once per ``credit_id``. Raises UnknownSku."""

    credit_id: Identifier
    lines: Annotated[list[Line], Meta(min_length=1, max_length=MAX_LINES)]


class Books(Struct, frozen=True):
    """``charged`` and ``refunded`` are of orders, ``credited`` of returned goods. All have two places."""

    charged: Decimal
    refunded: Decimal
    credited: Decimal


class GetLedger(Request[Books], tag="ledger", idempotent=True):
    """The sums of all money that moved."""


class UnknownSku(ServiceError, code="unknown_sku"):
    sku: str


class InvalidPrice(ServiceError, code="invalid_price"):
    sku: str
    unit_price: Decimal


class InvalidAmount(ServiceError, code="invalid_amount"):
    amount: Decimal


class PaymentDeclined(ServiceError, code="payment_declined"):
    """The payment provider refused."""

    payment_id: str
    reason: str


class PaymentClosed(ServiceError, code="payment_closed"):
    """The payment was refunded or voided; its ID cannot be charged again."""

    payment_id: str
