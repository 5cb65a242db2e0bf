"""Payments: write down the intent, ask the provider, write down the answer.

    (none) ──charge──▶ charging ──▶ charged ──refund──▶ refunding ──▶ refunded
       │                   └──────▶ declined ──refund──▶ voided
       └──refund──▶ voided

No transaction is open while the provider is asked. After a crash between two steps the next charge or refund asks the
provider again: the provider is idempotent by payment ID, so it gives the same answer. Every write is conditional on the
status that it starts from: of two callers one writes, and the other reads what the first one wrote.
"""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now

from services.database import unit_of_work
from services.money import ZERO, is_amount

from .contract import Charge, InvalidAmount, Payment, PaymentClosed, PaymentDeclined
from .models import Payment as Row
from .provider import Declined, provider


def charge(request: Charge) -> Payment:
    """Charge a payment once. A payment that exists keeps its first amount.

    Raises:
        InvalidAmount: the amount cannot be charged.
        PaymentDeclined: the provider refused.
        PaymentClosed: the payment was refunded or voided.
    """
    if not is_amount(request.amount):
        raise InvalidAmount(amount=request.amount)
    row = _opened(request.payment_id, status="charging", amount=request.amount)
    _settle_charge(row)
    if row.status == "declined":
        raise PaymentDeclined(payment_id=row.payment_id, reason=row.reason)
    if row.status != "charged":
        raise PaymentClosed(payment_id=row.payment_id)
    return _reply(row)


def refund(payment_id: str) -> Payment:
    """Give back the whole charge, or close a payment without a charge."""
    row = _opened(payment_id, status="voided")
    _settle_charge(row)
    _write(row, "declined", "voided", amount=ZERO)
    _write(row, "charged", "refunding")
    if row.status == "refunding":
        _provider_refund(row)
        _write(row, "refunding", "refunded", refunded=row.amount)
    return _reply(row)


def _opened(payment_id: str, **fields: Any) -> Row:
    with unit_of_work(Row):
        row, _ = Row.objects.get_or_create(payment_id=payment_id, defaults=fields)
    return row


def _settle_charge(row: Row) -> None:
    """Ask the provider to charge, and write its answer down.

    A refund does so too: only then is the amount to give back known.
    """
    if row.status != "charging":
        return
    try:
        if row.amount:
            provider().charge(row.payment_id, row.amount)
    except Declined as refusal:
        _write(row, "charging", "declined", reason=refusal.reason)
    else:
        _write(row, "charging", "charged")


def _provider_refund(row: Row) -> None:
    if row.amount:
        provider().refund(row.payment_id, row.amount)


def _write(row: Row, before: str, after: str, **fields: Any) -> None:
    """Move ``row`` from status ``before`` to ``after``.

    If another process moved the row meanwhile, read what it wrote.
    """
    if row.status != before:
        return
    written = {"status": after, **fields}
    with unit_of_work(Row):
        moved = Row.objects.filter(payment_id=row.payment_id, status=before).update(updated_at=Now(), **written)
    if not moved:
        row.refresh_from_db()
        return
    for name, value in written.items():
        setattr(row, name, value)


def _reply(row: Row) -> Payment:
    return Payment(payment_id=row.payment_id, status=row.status, amount=row.amount, refunded=row.refunded)
