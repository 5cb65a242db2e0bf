"""What inventory stores: the stock of each SKU, the reservations of orders, the receipts of goods."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from services.types import MAX_ID_LENGTH

from .contract import MAX_RECEIPT_LENGTH, ReservationStatus


class Stock(models.Model):
    """The stock of one SKU. Constraints of the database refuse to promise more units than the warehouse holds."""

    sku = models.CharField(max_length=MAX_ID_LENGTH, primary_key=True)
    on_hand = models.BigIntegerField(default=0)
    reserved = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(on_hand__gte=0), name="stock_on_hand_not_negative"),
            models.CheckConstraint(condition=Q(reserved__gte=0), name="stock_reserved_not_negative"),
            models.CheckConstraint(condition=Q(reserved__lte=F("on_hand")), name="stock_not_oversold"),
        ]


class Reservation(models.Model):
    """The reservation of an order.

    It is kept for ever: once released, it refuses late requests. ``lines`` maps SKU to units.
    """

    order_id = models.CharField(max_length=MAX_ID_LENGTH, primary_key=True)
    status: models.CharField[ReservationStatus, ReservationStatus] = models.CharField(max_length=16)
    lines: models.JSONField[Any, Any] = models.JSONField(default=dict)
    units = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())


class Receipt(models.Model):
    """Goods that came in. The row is kept, so that a repeated receipt counts once."""

    receipt_id = models.CharField(max_length=MAX_RECEIPT_LENGTH, primary_key=True)
    units = models.BigIntegerField()
    created_at = models.DateTimeField(db_default=Now())
