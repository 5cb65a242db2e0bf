"""Who moves the money: a payment provider behind a small protocol, chosen by the setting PAYMENT_PROVIDER."""

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
    """Moves money at most once per payment ID, however often it is asked.

    Pricing asks again when a crash kept it from writing an answer down, so both operations must be idempotent. Any
    exception other than Declined means "not known": pricing asks again later. Both are called from several threads.
    """

    def charge(self, payment_id: str, amount: Decimal) -> None:
        """Take ``amount``; return when it was taken, now or earlier. Raises Declined."""

    def refund(self, payment_id: str, amount: Decimal) -> None:
        """Give back ``amount``, all that was charged under ``payment_id``; return when it was given back."""


class SandboxProvider:
    """Moves no money. Declines what is over LIMIT, so that a refusal can be tried out; remembers nothing."""

    LIMIT = Decimal("1000000.00")

    def charge(self, payment_id: str, amount: Decimal) -> None:
        if amount > self.LIMIT:
            raise Declined("over_limit")

    def refund(self, payment_id: str, amount: Decimal) -> None:
        return None


def provider() -> PaymentProvider:
    """The one instance of the class that PAYMENT_PROVIDER names."""
    return _instance(settings.PAYMENT_PROVIDER)


@cache
def _instance(path: str) -> PaymentProvider:
    return cast(PaymentProvider, import_string(path)())
