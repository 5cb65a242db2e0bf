"""Returns: goods that come back are restocked and credited once."""

from __future__ import annotations

from decimal import Decimal

import pytest

from servicebus import (
    RemoteError,
    Unavailable,
)
from services.inventory.contract import (
    Receive,
)
from services.orders.contract import (
    Unfinished,
)
from services.pricing.contract import CreditReturn, Quote, UnknownSku

from ...support.services.order_shop import (
    Crash,
    Shop,
    failing,
)


async def test_returned_goods_are_restocked_and_credited_once(shop: Shop) -> None:
    await shop.place()
    for _ in range(2):
        returned = await shop.record_return(A=1, B=2)
        assert (returned.status, returned.credited) == ("credited", Decimal("9.10"))
    assert await shop.stock() == {"A": (9, 0), "B": (11, 0)}
    await shop.audit()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", [Quote, Receive, CreditReturn])
@pytest.mark.parametrize("resumed_by", ["record", "reconcile"])
async def test_a_return_that_a_crash_left_half_way_is_finished(
    shop: Shop, kind: type, after: bool, resumed_by: str
) -> None:
    shop.faults.next(kind, failing(Crash(), after=after))
    with pytest.raises(RemoteError, match="internal"):
        await shop.record_return(A=1)
    if resumed_by == "reconcile":
        assert await shop.reconcile() == ((0, 0, 0) if kind is Quote else (1, 0, 0))
    assert (await shop.record_return(A=1)).credited == Decimal("2.00")
    await shop.audit()


async def test_goods_that_were_never_sold_here_cannot_be_returned(shop: Shop) -> None:
    with pytest.raises(UnknownSku):
        await shop.record_return(X=1)
    assert "X" not in await shop.stock()
    assert await shop.reconcile() == (0, 0, 0)


async def test_a_return_with_the_longest_id_is_received(shop: Shop) -> None:
    assert (await shop.record_return("c" * 64, A=1)).status == "credited"


async def test_a_return_that_cannot_be_quoted_is_unfinished(shop: Shop) -> None:
    shop.faults.next(Quote, failing(Unavailable("no permission", retryable=False)))
    with pytest.raises(Unfinished) as failure:
        await shop.record_return(A=1)
    assert failure.value.status == ""
