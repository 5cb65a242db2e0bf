"""What orders stores: orders and returns, each with the last step that is known to have happened."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.functions import Now

from services.money import ZERO, MoneyField
from services.types import MAX_ID_LENGTH


class Record(models.Model):
    """What a saga moves along: ``status`` is one of states.py, ``lines`` a list of [SKU, quantity].

    ``updated_at`` is the instant of the last step, or of the last claim by a reconciler. Both instants are on the
    clock of the database: the clocks of the workers' machines differ, and any worker may take a record up.
    """

    status: models.CharField[Any, Any] = models.CharField(max_length=16)
    lines: models.JSONField[Any, Any] = models.JSONField()
    customer = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        abstract = True


class Order(Record):
    """An order, with the reason for undoing it and the amount that was charged."""

    order_id = models.CharField(max_length=MAX_ID_LENGTH, primary_key=True)
    reason = models.CharField(max_length=MAX_ID_LENGTH, default="")
    total = MoneyField(default=ZERO)

    class Meta:
        indexes = [models.Index(fields=["status", "updated_at"], name="orders_half_way")]


class Return(Record):
    """A return of goods, with the amount that was credited."""

    return_id = models.CharField(max_length=MAX_ID_LENGTH, primary_key=True)
    credited = MoneyField(default=ZERO)

    class Meta:
        indexes = [models.Index(fields=["status", "updated_at"], name="returns_half_way")]
