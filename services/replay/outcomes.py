"""What became of each step, and what the services said before and after."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from .plan import Sale, Step

ZERO = Decimal("0.00")


class Outcome(Struct, frozen=True):
    """``reason`` is "" for a confirmed sale or a credited return, else a snake_case code.

    ``amount`` was charged for a sale or credited for a return; ``seconds`` passed from the start of the step.
    """

    step: Step
    reason: str
    amount: Decimal
    seconds: float

    @property
    def is_sale(self) -> bool:
        return isinstance(self.step, Sale)

    @property
    def is_done(self) -> bool:
        return not self.reason

    @property
    def units(self) -> int:
        return sum(line.quantity for line in self.step.lines)


class Books(Struct, frozen=True):
    """What inventory and pricing hold at one moment: units, and the sums of money that moved."""

    on_hand: int
    reserved: int
    charged: Decimal = ZERO
    refunded: Decimal = ZERO
    credited: Decimal = ZERO
