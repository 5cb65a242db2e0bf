"""The Django app of pricing."""

from __future__ import annotations

from django.apps import AppConfig


class PricingConfig(AppConfig):
    name = "services.pricing"
    label = "pricing"
