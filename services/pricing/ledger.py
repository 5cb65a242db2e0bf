"""Credits for returned goods, and the sums of all money that moved."""

from __future__ import annotations

from decimal import Decimal

from django.db.models import QuerySet, Sum

from services.database import unit_of_work
from services.money import ZERO

from .catalogue import quote
from .contract import Books, CreditReturn
from .contract import Credit as ContractCredit
from .models import Credit, Payment

MONEY_WAS_TAKEN = ("charged", "refunding", "refunded")
"""The statuses of a payment whose money the provider took."""


def credit_return(request: CreditReturn) -> ContractCredit:
    """Credit the goods at the current price, once. A repeated request returns the first credit."""
    row = Credit.objects.filter(credit_id=request.credit_id).first()
    if row is None:
        amount = quote(request.lines).total
        with unit_of_work(Credit):
            row, _ = Credit.objects.get_or_create(credit_id=request.credit_id, defaults={"amount": amount})
    return ContractCredit(credit_id=row.credit_id, amount=row.amount)


def books() -> Books:
    """Sum up all money that moved. A payment at "refunding" counts as charged and not yet as refunded."""
    payments = Payment.objects.filter(status__in=MONEY_WAS_TAKEN)
    return Books(
        charged=_sum(payments, "amount"),
        refunded=_sum(payments, "refunded"),
        credited=_sum(Credit.objects.all(), "amount"),
    )


def _sum(rows: QuerySet[Payment] | QuerySet[Credit], field: str) -> Decimal:
    total: Decimal | None = rows.aggregate(total=Sum(field))["total"]
    return ZERO if total is None else total
