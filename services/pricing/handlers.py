"""The operations of pricing, served from ``pricing.request``."""

from __future__ import annotations

from servicebus import Service
from servicebus.contrib.django import database_connections

from . import catalogue as prices
from . import ledger as money
from . import payments
from .contract import (
    Books,
    Charge,
    Credit,
    CreditReturn,
    GetCatalogue,
    GetLedger,
    Payment,
    PriceList,
    PricesSet,
    Quotation,
    Quote,
    Refund,
    SetPrices,
)

service = Service("pricing", version="1.0.0", around_sync=database_connections)


@service.handler
def catalogue(request: GetCatalogue) -> PriceList:
    """Read prices, page by page."""
    return prices.page(request)


@service.handler
def set_prices(request: SetPrices) -> PricesSet:
    """Create or replace prices, all or none."""
    return prices.set_prices(request)


@service.handler
def quote(request: Quote) -> Quotation:
    """Price the lines of an order or a return."""
    quotation = prices.quote(request.lines)
    return quotation if request.itemized else Quotation(lines=[], total=quotation.total)


@service.handler
def charge(request: Charge) -> Payment:
    """Charge an order once."""
    return payments.charge(request)


@service.handler
def refund(request: Refund) -> Payment:
    """Give back the whole charge of an order."""
    return payments.refund(request.payment_id)


@service.handler
def credit_return(request: CreditReturn) -> Credit:
    """Credit returned goods once."""
    return money.credit_return(request)


@service.handler
def ledger(request: GetLedger) -> Books:
    """Read the sums of all money that moved."""
    return money.books()
