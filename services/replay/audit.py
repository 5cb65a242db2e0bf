"""Checks that the books balance: the stock and money of the services against the replies to the client. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .outcomes import Books, Outcome
from .summary import amount, rejected


class BooksDoNotBalance(Exception):
    """The stock or money of the services does not match their replies. ``faults`` has one line for each difference."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(faults)
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "the books do not balance: " + "; ".join(self.faults)


def audit(outcomes: Sequence[Outcome], opening: Books, closing: Books) -> None:
    """Compare ``opening``, read after stock was loaded, and ``closing``, read after the last step, with ``outcomes``.

    Raises:
        BooksDoNotBalance: they differ.
    """
    faults = [*_stock_faults(outcomes, opening, closing), *_money_faults(outcomes, opening, closing)]
    faults += [
        f"{count} x {reason}" for reason, count in rejected(each for each in outcomes if not each.is_sale).items()
    ]
    if faults:
        raise BooksDoNotBalance(faults)


def _stock_faults(outcomes: Sequence[Outcome], opening: Books, closing: Books) -> Iterator[str]:
    sold = sum(each.units for each in outcomes if each.is_sale and each.is_done)
    returned = sum(each.units for each in outcomes if not each.is_sale and each.is_done)
    if opening.on_hand - sold + returned != closing.on_hand:
        yield f"stock {opening.on_hand} - {sold} sold + {returned} returned is not {closing.on_hand}"
    if closing.reserved != opening.reserved:
        yield f"{closing.reserved} units are still reserved"


def _money_faults(outcomes: Sequence[Outcome], opening: Books, closing: Books) -> Iterator[str]:
    charged = amount(each for each in outcomes if each.is_sale)
    taken = (closing.charged - opening.charged) - (closing.refunded - opening.refunded)
    if taken != charged:
        yield f"pricing kept {taken} and the confirmed orders come to {charged}"
    returned = amount(each for each in outcomes if not each.is_sale)
    credited = closing.credited - opening.credited
    if credited != returned:
        yield f"pricing credited {credited} and the returns come to {returned}"
