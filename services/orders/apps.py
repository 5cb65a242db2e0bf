"""The Django app of orders."""

from __future__ import annotations

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """The Django app of orders; its label names its database in library mode."""

    name = "services.orders"
    label = "orders"
