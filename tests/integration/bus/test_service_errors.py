from __future__ import annotations

from typing import Any

import pytest

from servicebus import (
    RemoteError,
    Service,
)

from ...support import rival_shop
from ...support.shop import (
    CHANNEL,
    Closed,
    Reserve,
    SoldOut,
    calling,
    counter,
)


def selling(name: str, error: RemoteError) -> Service:
    service = Service(name)

    @service.handler("buy")
    async def buy(message: Any) -> Any:
        raise error

    return service


async def test_a_declared_error_crosses_with_its_class_and_its_attributes(url: str) -> None:
    async with calling(url, counter()) as bus:
        with pytest.raises(SoldOut) as caught:
            await bus.call(CHANNEL, Reserve(order_id="o-1", lines=[]))
    error = caught.value
    assert (error.sku, error.available, error.code, error.executed) == ("A", 3, "sold_out", "yes")


async def test_two_services_that_use_one_code_are_told_apart(url: str) -> None:
    async with calling(
        url, selling("shop", SoldOut(sku="A")), selling("rival", rival_shop.SoldOut(where="here"))
    ) as bus:
        with pytest.raises(rival_shop.SoldOut) as caught:
            await bus.call("rival.request", rival_shop.Buy(sku="A"))
        assert caught.value.where == "here"


async def test_a_code_that_nobody_here_declared_is_a_plain_remote_error(url: str) -> None:
    service = selling("shop", RemoteError("tests_passing", "passing", {"depth": 3}))
    async with calling(url, service) as bus:
        with pytest.raises(RemoteError) as caught:
            await bus.call(CHANNEL, {"type": "buy"})
    error = caught.value
    assert type(error) is RemoteError
    assert (error.code, error.details, error.executed) == ("tests_passing", {"depth": 3}, "yes")


async def test_an_untyped_caller_gets_the_declared_error_when_there_is_but_one(url: str) -> None:
    async with calling(url, selling("shop", Closed(until="noon"))) as bus:
        with pytest.raises(Closed, match="noon"):
            await bus.call(CHANNEL, {"type": "buy"})
