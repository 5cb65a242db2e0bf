from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import channels.exceptions
import pytest

import servicebus
from servicebus import (
    ChannelFull,
    ConfigurationError,
    DeadlineExceeded,
    RemoteError,
    ServiceBusError,
    ServiceError,
    Unavailable,
    UnknownOperation,
)
from servicebus.contract.request import errors_of
from servicebus.contract.service_errors import RESERVED_CODES

from ..support import rival_shop, shop
from ..support.sample_errors import RAISED, RARE

FINAL = {"ConfigurationError", "InvalidRequest", "MessageTooLarge", "Unauthorized"}


@pytest.mark.parametrize("error", [*RAISED, Unavailable("no permission", retryable=False)], ids=repr)
@pytest.mark.parametrize("clone", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_every_error_can_be_pickled_and_copied(error: ServiceBusError, clone: Any) -> None:
    again = clone(error)
    assert type(again) is type(error)
    assert (str(again), again.executed, again.retryable) == (str(error), error.executed, error.retryable)
    assert vars(again) == vars(error)


@pytest.mark.parametrize("error", RAISED, ids=repr)
def test_every_error_says_something_in_one_line(error: ServiceBusError) -> None:
    assert str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("error", RAISED, ids=repr)
def test_only_what_was_not_executed_may_be_tried_again(error: ServiceBusError) -> None:
    assert error.executed in ("no", "maybe", "yes")
    assert not error.retryable or error.executed == "no"
    if type(error).__name__ in FINAL:
        assert (error.executed, error.retryable) == ("no", False)


def test_an_unknown_operation_may_be_tried_again() -> None:
    error = UnknownOperation("x", ("y",))
    assert (error.executed, error.retryable) == ("no", True)


def test_errors_are_what_their_neighbours_expect() -> None:
    assert issubclass(ChannelFull, channels.exceptions.ChannelFull)
    assert issubclass(DeadlineExceeded, TimeoutError)
    assert issubclass(ServiceError, RemoteError)
    for name in servicebus.__all__:
        found = getattr(servicebus, name)
        if isinstance(found, type) and issubclass(found, BaseException):
            assert issubclass(found, ServiceBusError)


@pytest.mark.parametrize(("stage", "executed"), [("queued", "no"), ("dispatched", "maybe")])
def test_the_stage_of_a_passed_deadline_says_whether_it_may_have_run(stage: Any, executed: str) -> None:
    error = DeadlineExceeded("a.request", "x", stage)
    assert (error.executed, error.retryable) == (executed, False)


def test_an_unknown_operation_names_those_that_there_are() -> None:
    assert str(UnknownOperation("x", ("b", "a"))) == "unknown operation 'x'; this service knows: b, a"
    assert str(UnknownOperation("x")).endswith("knows: none")


def test_a_declared_error_has_its_data_as_attributes_details_and_text() -> None:
    error = shop.SoldOut(sku="A", available=3)
    assert (error.sku, error.available) == ("A", 3)
    assert error.details == {"sku": "A", "available": 3}
    assert str(error) == "sold_out: sku='A', available=3"
    assert (error.code, error.executed, error.retryable) == ("sold_out", "yes", False)


def test_a_field_with_a_default_may_be_left_out_and_others_may_not() -> None:
    assert shop.SoldOut(sku="A").available == 0
    with pytest.raises(TypeError, match="sku"):
        shop.SoldOut(available=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="colour"):
        shop.SoldOut(sku="A", colour="red")  # type: ignore[call-arg]


@pytest.mark.parametrize("code", sorted(RESERVED_CODES))
def test_a_code_of_the_bus_cannot_be_declared(code: str) -> None:
    with pytest.raises(ConfigurationError, match="give it a code of its own"):
        type("Mine", (ServiceError,), {}, code=code)


def test_an_error_without_a_code_cannot_be_declared() -> None:
    with pytest.raises(ConfigurationError, match="give it a code of its own"):
        type("Mine", (ServiceError,), {})


def test_a_derived_contract_error_has_the_fields_of_both() -> None:
    class Gone(shop.SoldOut, code="tests_gone"):
        since: str

    error = Gone(sku="A", since="noon")
    assert isinstance(error, shop.SoldOut)
    assert error.details == {"sku": "A", "available": 0, "since": "noon"}
    assert error.code == "tests_gone"


def test_two_contracts_may_use_one_code() -> None:
    assert errors_of(shop.Count)["sold_out"] is shop.SoldOut
    assert errors_of(rival_shop.Buy)["sold_out"] is rival_shop.SoldOut
    assert "sold_out" not in errors_of(dict)


def derived(kind: type[ServiceBusError]) -> list[type[ServiceBusError]]:
    return [kind, *(further for one in kind.__subclasses__() for further in derived(one))]


@pytest.mark.parametrize("error", [*RAISED, *RARE], ids=repr)
def test_every_error_can_be_made_again_from_its_arguments(error: ServiceBusError) -> None:
    for args in (error.args, json.loads(json.dumps(error.args))):
        again = type(error)(*args)
        assert vars(again) == vars(error)
        assert (str(again), again.executed, again.retryable) == (str(error), error.executed, error.retryable)


def test_an_error_of_each_class_is_tried() -> None:
    ours = {kind for kind in derived(ServiceBusError) if kind.__module__.startswith("servicebus.")}
    tried = {type(error) for error in (*RAISED, *RARE)}
    assert {kind.__qualname__ for kind in ours - tried} <= {"ServiceError", "Refused"}
