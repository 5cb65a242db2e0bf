"""The payment provider, which moves the money. The setting PAYMENT_PROVIDER names its class."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Protocol, cast

from django.conf import settings
from django.utils.module_loading import import_string


class Declined(Exception):
    """The provider refuses to charge, for good. ``reason`` is text that the customer may see."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PaymentProvider(Protocol):
    """Moves money at most once per payment ID, however often pricing asks.

    Pricing asks again when a crash kept it from writing an answer down, so both operations must be idempotent. Any
    exception other than Declined means "not known": pricing asks again later. Several threads call both.
    """

    def charge(self, payment_id: str, amount: Decimal) -> None:
        """Take ``amount``, and return when the money is taken, now or earlier. Raises Declined."""

    def refund(self, payment_id: str, amount: Decimal) -> None:
        """Give back ``amount``, the whole charge of ``payment_id``, and return when the money is back."""


class SandboxProvider:
    """Moves no money and remembers nothing. It declines amounts above LIMIT, so that a refusal can be tried out."""

    LIMIT = Decimal("1000000.00")
    """The highest amount that the sandbox charges: above any usual order."""

    def charge(self, payment_id: str, amount: Decimal) -> None:
        """Take nothing; decline amounts above LIMIT."""
        if amount > self.LIMIT:
            raise Declined("over_limit")

    def refund(self, payment_id: str, amount: Decimal) -> None:
        """Give nothing back."""
        return


def provider() -> PaymentProvider:
    """Return the one instance of the class that PAYMENT_PROVIDER names."""
    return _instance(settings.PAYMENT_PROVIDER)


@cache
def _instance(path: str) -> PaymentProvider:
    return cast(PaymentProvider, import_string(path)())
