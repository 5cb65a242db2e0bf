"""The payment provider of the demo. Pricing loads it by the name in its setting PAYMENT_PROVIDER."""

from __future__ import annotations

from decimal import Decimal


class EverythingGoes:
    """Moves no money and declines nothing, so that an order is confirmed if its goods are in stock."""

    def charge(self, payment_id: str, amount: Decimal) -> None:
        """Take nothing."""
        return

    def refund(self, payment_id: str, amount: Decimal) -> None:
        """Give nothing back."""
        return
