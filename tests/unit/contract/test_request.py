from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import pytest

from servicebus import ConfigurationError, InvalidRequest, Request
from servicebus.contract.request import errors_of, operation_of, reply_type

from ...support.shop import Count, Reserve, Reserved

T = TypeVar("T")


class GetHTTPStatus(Request[dict[str, list[int]]]): ...


class Forward(Request["Later"]): ...


class Later(msgspec.Struct):
    n: int


class Many(Request[list[T]], Generic[T]): ...


class Derived(Reserve, tag="derived"):
    note: str = ""


class Untold(Request): ...  # type: ignore[type-arg]


@pytest.mark.parametrize(
    ("request_", "operation"),
    [
        (Reserve, "reserve"),
        (Reserve(order_id="o", lines=[]), "reserve"),
        (Count, "count"),
        (GetHTTPStatus, "get_httpstatus"),
        (Derived, "derived"),
        ({"type": "x"}, "x"),
    ],
)
def test_an_operation_is_the_tag_or_the_type(request_: Any, operation: str) -> None:
    assert operation_of(request_) == operation


@pytest.mark.parametrize("message", [{}, {"type": ""}, {"type": 7}, {"type": None}, {"typ": "x"}])
def test_a_message_without_a_type_is_invalid(message: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        operation_of(message)
    assert caught.value.field == "$.type"


@pytest.mark.parametrize("message", [None, 7, "reserve", ["type"], Reserved("o", 1), Later])
def test_what_is_neither_a_request_nor_a_message_is_invalid(message: Any) -> None:
    with pytest.raises(InvalidRequest, match="cannot send a"):
        operation_of(message)


@pytest.mark.parametrize(
    ("request_", "reply"),
    [(Reserve, Reserved), (Count, int), (GetHTTPStatus, dict[str, list[int]]), (Forward, Later), (Derived, Reserved)],
)
def test_a_request_knows_the_type_of_its_reply(request_: Any, reply: Any) -> None:
    assert reply_type(request_) == reply


def test_a_request_that_names_no_reply_type_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="derive it from Request"):
        reply_type(Untold)


def test_a_request_is_a_value() -> None:
    one, other = Count(upto=1), Count(upto=1)
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(AttributeError):
        one.upto = 2  # type: ignore[misc]


CONTRACT = """
from servicebus import Request, ServiceError

class Full(ServiceError, code="tests_reload_full"):
    left: int

class Fill(Request[int]):
    units: int
"""


def test_errors_are_those_of_the_request_called_after_a_reload_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reloaded_contract.py").write_text(CONTRACT)
    monkeypatch.syspath_prepend(tmp_path)
    contract = importlib.import_module("reloaded_contract")
    old_request, old_error = contract.Fill, contract.Full
    importlib.reload(contract)
    assert contract.Full is not old_error
    assert errors_of(old_request)["tests_reload_full"] is old_error
    assert errors_of(contract.Fill)["tests_reload_full"] is contract.Full
    sys.modules.pop("reloaded_contract")
