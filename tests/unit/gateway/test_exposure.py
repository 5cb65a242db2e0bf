from __future__ import annotations

from typing import Any

import pytest

from servicebus import ConfigurationError
from servicebus.gateway import Gateway
from servicebus.gateway.exposure import Exposure
from servicebus.gateway.refusals import NotExposed


def test_a_service_exposes_all_its_operations_and_an_operation_itself() -> None:
    exposure = Exposure(["orders", "inventory.stock"])
    assert exposure.target("/orders/place").channel == "orders.request"
    assert exposure.target("/orders/place").operation == "place"
    assert exposure.target("/inventory/stock").service == "inventory"


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "//", "/orders", "/orders/", "/inventory", "/inventory/reserve", "/Orders/place", "/other/place"),
        *("orders/place", "x/orders/place", "//orders/place", "/orders//place", "/orders/place/", "/orders/place/more"),
        *("/orders/../inventory/reserve", "/orders/pl ace", "/orders/place\r\nx: y", "/orders/place\n", "/orders/\x00"),
        *("/orders/pläce", "/orders/\ud800", "/orders/" + "x" * 129, "/orders/.hidden", "/orders.request/place"),
    ],
)
def test_everything_else_is_not_there(path: str) -> None:
    with pytest.raises(NotExposed):
        Exposure(["orders", "inventory.stock"]).target(path)


@pytest.mark.parametrize(
    ("expose", "named"),
    [
        ((), "expose"),
        ("orders", "expose"),
        (("",), "''"),
        (("*",), r"'\*'"),
        (("orders.",), "'orders.'"),
        ((".place",), "'.place'"),
        (("or ders",), "'or ders'"),
        (("orders.pl/ace",), "'orders.pl/ace'"),
        ((7,), "7"),
    ],
)
def test_a_name_that_cannot_be_exposed_is_refused_by_name(expose: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Gateway("memory://", expose=expose)


@pytest.mark.parametrize(
    "arguments",
    [
        {"timeout": 0},
        {"timeout": "5"},
        {"timeout": float("inf")},
        {"max_body": 0},
        {"max_body": 1.5},
        {"max_body": 2 << 20},
        {"body_within": -1},
        {"max_requests": True},
        {"forward": "x-tenant"},
        {"forward": ("X-Tenant",)},
        {"forward": ("x_tenant",)},
        {"forward": ("x-tenant=",)},
        {"forward": ("x-tenant\r\n",)},
        {"forward": (1,)},
    ],
)
def test_a_bad_argument_is_refused_by_name(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        Gateway("memory://", expose=["orders"], **arguments)
