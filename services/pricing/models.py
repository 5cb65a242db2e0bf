"""What pricing stores: the catalogue, the payments of orders, the credits for returned goods."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from services.money import ZERO, MoneyField
from services.types import MAX_ID_LENGTH, PRICE_PLACES


class Price(models.Model):
    """The catalogue: the price of one SKU."""

    sku = models.CharField(max_length=MAX_ID_LENGTH, primary_key=True)
    unit_price = MoneyField(places=PRICE_PLACES)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(unit_price__gt=0), name="price_is_positive")]


class Payment(models.Model):
    """The payment of an order.

    It is kept for ever. At "charging" and "refunding" the provider may have been asked already.
    """

    payment_id = models.CharField(max_length=MAX_ID_LENGTH, primary_key=True)
    status: models.CharField[Any, Any] = models.CharField(max_length=16)
    amount = MoneyField(default=ZERO)
    refunded = MoneyField(default=ZERO)
    reason = models.TextField(default="")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(refunded__gte=0) & Q(refunded__lte=F("amount")), name="payment_refunds_what_was_charged"
            )
        ]


class Credit(models.Model):
    """The credit for the goods of one return."""

    credit_id = models.CharField(max_length=MAX_ID_LENGTH, primary_key=True)
    amount = MoneyField()
    created_at = models.DateTimeField(db_default=Now())
