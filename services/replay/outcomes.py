"""The outcome of each step, and the books of the services before and after."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from .plan import Sale, Step

ZERO = Decimal("0.00")
"""No money, with two places."""


class Outcome(Struct, frozen=True):
    """The outcome of one step. ``reason`` is "" for a confirmed sale or a credited return, else a snake_case code.

    ``amount`` was charged for a sale or credited for a return. ``seconds`` passed between start and end of the step.
    """

    step: Step
    reason: str
    amount: Decimal
    seconds: float

    @property
    def is_sale(self) -> bool:
        """Whether the step is a sale and not a return."""
        return isinstance(self.step, Sale)

    @property
    def is_done(self) -> bool:
        """Whether the sale was confirmed or the return credited."""
        return not self.reason

    @property
    def units(self) -> int:
        """The units of all lines of the step."""
        return sum(line.quantity for line in self.step.lines)


class Books(Struct, frozen=True):
    """What inventory and pricing hold at one moment: units, and the sums of money that moved."""

    on_hand: int
    reserved: int
    charged: Decimal = ZERO
    refunded: Decimal = ZERO
    credited: Decimal = ZERO
