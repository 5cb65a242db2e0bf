"""The Django app of pricing."""

from __future__ import annotations

from django.apps import AppConfig


class PricingConfig(AppConfig):
    """The Django app of pricing; its label names its database in library mode."""

    name = "services.pricing"
    label = "pricing"
