"""What pricing promises: the only service that knows prices and moves money. Consumes ``pricing.request``."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from servicebus import Request, ServiceError
from services.types import MAX_LINES, After, Identifier, Sku, Units

CHANNEL = "pricing.request"
"""The channel of the requests below."""

PaymentStatus = Literal["charged", "refunded", "voided"]


class Price(Struct, frozen=True):
    """The price of one piece of a SKU."""

    sku: Sku
    unit_price: Decimal


class Line(Struct, frozen=True):
    """Units of one SKU to price. Several lines may name the same SKU."""

    sku: Sku
    quantity: Units


class PriceList(Struct, frozen=True):
    """At most ``limit`` prices in SKU order; ``next_after`` is the ``after`` of the next page, "" on the last."""

    prices: list[Price]
    next_after: str


class GetCatalogue(Request[PriceList], tag="catalogue", idempotent=True):
    """Read prices in SKU order: those after ``after``, at most ``limit``."""

    after: After = ""
    limit: Annotated[int, Meta(ge=1, le=MAX_LINES)] = MAX_LINES


class PricesSet(Struct, frozen=True):
    """``count`` is the number of SKUs whose price was set."""

    count: int


class SetPrices(Request[PricesSet], tag="set_prices", idempotent=True):
    """Create or replace the prices of these SKUs, all or none. Raises InvalidPrice.

    A price is above zero, at most a million, and has at most four decimal places.
    """

    prices: Annotated[list[Price], Meta(min_length=1, max_length=MAX_LINES)]


class QuotedLine(Struct, frozen=True):
    """One line at its price; ``amount`` is rounded to the cent, half a cent up."""

    sku: str
    quantity: int
    unit_price: Decimal
    amount: Decimal


class Quotation(Struct, frozen=True):
    """The priced lines and their sum. ``lines`` is empty if the request did not ask for items."""

    lines: list[QuotedLine]
    total: Decimal


class Quote(Request[Quotation], tag="quote", idempotent=True):
    """Price many lines at once. Raises UnknownSku.

    ``itemized`` False: the total only, for a quotation that would be too large to send line by line.
    """

    lines: Annotated[list[Line], Meta(min_length=1, max_length=MAX_LINES)]
    itemized: bool = True


class Payment(Struct, frozen=True):
    """A payment as it stands: ``amount`` was charged, and ``refunded`` of it went back. Both have two places."""

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

    A ``payment_id`` without a charge is voided, so that a Charge that comes late is refused.
    """

    payment_id: Identifier


class Credit(Struct, frozen=True):
    """The credit for returned goods; ``amount`` has two places."""

    credit_id: str
    amount: Decimal


class CreditReturn(Request[Credit], tag="credit_return", idempotent=True):
    """Credit returned goods at catalogue price. Once per ``credit_id``. Raises UnknownSku."""

    credit_id: Identifier
    lines: Annotated[list[Line], Meta(min_length=1, max_length=MAX_LINES)]


class Books(Struct, frozen=True):
    """The sums of all money that moved: ``charged`` and ``refunded`` for orders, ``credited`` for returns.

    All have two places.
    """

    charged: Decimal
    refunded: Decimal
    credited: Decimal


class GetLedger(Request[Books], tag="ledger", idempotent=True):
    """Read the sums of all money that moved."""


class UnknownSku(ServiceError, code="unknown_sku"):
    """The SKU has no price."""

    sku: str


class InvalidPrice(ServiceError, code="invalid_price"):
    """The price is not above zero, or too high, or has too many decimal places."""

    sku: str
    unit_price: Decimal


class InvalidAmount(ServiceError, code="invalid_amount"):
    """The amount is negative, or too high, or has a fraction of a cent."""

    amount: Decimal


class PaymentDeclined(ServiceError, code="payment_declined"):
    """The payment provider refused the charge; ``reason`` is text that the customer may see."""

    payment_id: str
    reason: str


class PaymentClosed(ServiceError, code="payment_closed"):
    """The payment was refunded or voided. Its ID cannot be charged again."""

    payment_id: str
