"""Another service's contract, which uses a code that ``tests.support.shop`` uses too, for another error."""

from __future__ import annotations

from servicebus import Request, ServiceError


class Buy(Request[int], tag="buy"):
    sku: str


class SoldOut(ServiceError, code="sold_out"):
    where: str
