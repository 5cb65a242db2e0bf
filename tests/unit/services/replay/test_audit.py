from __future__ import annotations

from decimal import Decimal

import pytest

from services.replay.audit import BooksDoNotBalance, audit
from services.replay.outcomes import Books

from ....support.replay.samples import returned, sold

OUTCOMES = (sold("1", 10, "12.50"), sold("2", 99, "0.00", "out_of_stock"), returned("C3", 2, "2.50"))
OPENING = Books(100, 0, charged=Decimal("5.00"), refunded=Decimal("1.00"), credited=Decimal("3.00"))


def closing(
    on_hand: int = 92, reserved: int = 0, charged: str = "17.50", refunded: str = "1.00", credited: str = "5.50"
) -> Books:
    return Books(on_hand, reserved, Decimal(charged), Decimal(refunded), Decimal(credited))


def test_books_that_balance_raise_nothing() -> None:
    audit(OUTCOMES, OPENING, closing())
    audit(OUTCOMES, OPENING, closing(charged="18.50", refunded="2.00"))


@pytest.mark.parametrize(
    ("after", "fault"),
    [
        (closing(on_hand=91), "stock 100 - 10 sold + 2 returned is not 91"),
        (closing(reserved=3), "3 units are still reserved"),
        (closing(charged="17.51"), "pricing kept 12.51 and the confirmed orders come to 12.50"),
        (closing(refunded="1.10"), "pricing kept 12.40 and the confirmed orders come to 12.50"),
        (closing(credited="3.00"), "pricing credited 0.00 and the returns come to 2.50"),
    ],
)
def test_books_that_do_not_balance_say_where(after: Books, fault: str) -> None:
    with pytest.raises(BooksDoNotBalance) as raised:
        audit(OUTCOMES, OPENING, after)
    assert raised.value.faults == (fault,)
    assert str(raised.value) == f"the books do not balance: {fault}"


def test_a_return_that_was_not_recorded_is_a_fault() -> None:
    outcomes = (*OUTCOMES, returned("C4", 1, "0.00", "no_workers"))
    with pytest.raises(BooksDoNotBalance, match="1 x return_no_workers"):
        audit(outcomes, OPENING, closing())
