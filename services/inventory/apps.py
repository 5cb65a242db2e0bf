"""The Django app of inventory."""

from __future__ import annotations

from django.apps import AppConfig


class InventoryConfig(AppConfig):
    name = "services.inventory"
    label = "inventory"
