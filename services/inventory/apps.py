"""The Django app of inventory."""

from __future__ import annotations

from django.apps import AppConfig


class InventoryConfig(AppConfig):
    """The Django app of inventory; its label names its database in library mode."""

    name = "services.inventory"
    label = "inventory"
