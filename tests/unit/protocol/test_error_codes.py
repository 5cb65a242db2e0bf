from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import servicebus
from servicebus import (
    DeadlineExceeded,
    InvalidRequest,
    MessageTooLarge,
    Overloaded,
    RemoteError,
    ServiceBusError,
    Unauthorized,
    UnknownOperation,
    WorkerLost,
)
from servicebus.contract.service_errors import RESERVED_CODES
from servicebus.protocol import error_codes
from servicebus.protocol.envelope import IncomingReply, OutgoingError

from ...support import rival_shop, shop
from ...support.sample_errors import RAISED
from ...support.strategies import bodies


def crossed(sent: OutgoingError, request: type = dict) -> ServiceBusError:
    """What the caller gets of what the worker sends."""
    reply = msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=IncomingReply)
    return error_codes.from_wire(reply, "a.request", "x", request)


def test_every_error_class_is_here() -> None:
    public = {getattr(servicebus, name) for name in servicebus.__all__}
    errors = {kind for kind in public if isinstance(kind, type) and issubclass(kind, ServiceBusError)}
    assert errors - {servicebus.ServiceError} <= {type(error) for error in RAISED}


@pytest.mark.parametrize("error", RAISED, ids=repr)
def test_whatever_a_handler_raises_its_caller_learns_that_it_ran(error: ServiceBusError) -> None:
    received = crossed(error_codes.failed(error))
    assert isinstance(received, RemoteError)
    assert received.executed == "yes"
    assert not received.retryable
    if isinstance(error, RemoteError):
        assert (type(received), str(received), received.details) == (type(error), str(error), error.details)
    else:
        assert received.code == "internal"
        assert str(error) in received.message


def groups(leaves: st.SearchStrategy[BaseException]) -> st.SearchStrategy[BaseException]:
    """Errors, and groups of errors and groups, as nested task groups raise them."""
    return st.recursive(
        leaves, lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda errors: BaseExceptionGroup("", errors))
    )


CONTRACT_ERRORS = st.sampled_from([RemoteError("odd", "said so", {"a": 1}), shop.Closed(until="noon")])
BUS_ERRORS = st.sampled_from([error for error in RAISED if not isinstance(error, RemoteError)])


@given(groups(CONTRACT_ERRORS))
def test_a_group_of_contract_errors_is_one_of_them(error: BaseException) -> None:
    sent = error_codes.failed(error)
    assert sent.code in ("odd", shop.Closed.code)
    assert isinstance(crossed(sent, dict), RemoteError)


@given(groups(BUS_ERRORS), st.booleans())
def test_a_contract_error_counts_before_errors_of_the_bus(error: BaseException, first: bool) -> None:
    both = [shop.Closed(until="noon"), error]
    sent = error_codes.failed(BaseExceptionGroup("", both if first else both[::-1]))
    assert (sent.code, sent.details) == (shop.Closed.code, {"until": "noon"})


@given(groups(st.one_of(CONTRACT_ERRORS, BUS_ERRORS)), st.booleans())
def test_a_mistake_in_a_group_is_internal_whatever_else_is_in_it(error: BaseException, first: bool) -> None:
    both = [ValueError("a mistake"), error]
    group = BaseExceptionGroup("", both if first else both[::-1])
    assert error_codes.failed(group).code == "internal"
    assert error_codes.ungrouped(group) is group


def test_a_group_may_be_nested_deeply() -> None:
    error: BaseException = shop.Closed(until="noon")
    for _ in range(5000):
        error = BaseExceptionGroup("", [error])
    assert error_codes.failed(error).code == shop.Closed.code


def test_an_unknown_exception_is_named_internal_and_nothing_more() -> None:
    received = crossed(error_codes.failed(ValueError("postgres://user:secret@db")))
    assert isinstance(received, RemoteError)
    assert received.code == "internal"
    assert "secret" not in str(received)
    assert "ValueError" not in str(received)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (error_codes.refused(InvalidRequest("bad", "$.a[0]")), InvalidRequest("bad", "$.a[0]")),
        (error_codes.refused(UnknownOperation("x", ("a", "b"))), UnknownOperation("x", ("a", "b"))),
        (error_codes.expired(), DeadlineExceeded("a.request", "x", "queued")),
        (error_codes.stopped(), WorkerLost("a.request")),
        (OutgoingError("error", "unauthorized", "no", "not you"), Unauthorized("x", "not you")),
        (OutgoingError("error", "overloaded", "no", "busy"), Overloaded("a.request", "busy")),
        (OutgoingError("error", "message_too_large", "no", "", {"size": 9, "limit": 5}), MessageTooLarge(9, 5)),
    ],
    ids=lambda value: value.code if isinstance(value, OutgoingError) else "",
)
def test_a_refusal_crosses_the_wire_whole(sent: OutgoingError, expected: ServiceBusError) -> None:
    received = crossed(sent)
    assert type(received) is type(expected)
    assert (str(received), vars(received)) == (str(expected), vars(expected))
    assert received.executed == expected.executed == sent.executed


@pytest.mark.parametrize("code", sorted(RESERVED_CODES))
@pytest.mark.parametrize("executed", ["yes", "maybe", "", "NO"])
def test_only_the_worker_can_say_that_nothing_was_executed(code: str, executed: str) -> None:
    received = crossed(OutgoingError("error", code, executed))
    assert received.executed != "no"


def test_a_declared_error_is_rebuilt_with_its_attributes() -> None:
    received = crossed(error_codes.failed(shop.SoldOut(sku="A", available=3)), shop.Count)
    assert isinstance(received, shop.SoldOut)
    assert (received.sku, received.available, received.details) == ("A", 3, {"sku": "A", "available": 3})


@pytest.mark.parametrize("contract", [shop, rival_shop])
def test_of_two_errors_with_one_code_the_one_beside_the_request_is_meant(contract: Any) -> None:
    error = contract.SoldOut(**({"sku": "A"} if contract is shop else {"where": "here"}))
    received = crossed(error_codes.failed(error), shop.Count if contract is shop else rival_shop.Buy)
    assert type(received) is contract.SoldOut
    assert vars(received) == vars(error)


@pytest.mark.parametrize("details", [None, {}, {"sku": 1}, {"sku": "A", "available": "many"}, [1], "text"])
def test_details_that_break_the_contract_make_a_plain_remote_error(details: Any) -> None:
    received = crossed(OutgoingError("error", "sold_out", "yes", "none left", details), shop.Count)
    assert type(received) is RemoteError
    assert (received.code, received.message, received.details) == ("sold_out", "none left", details)


def test_an_untyped_caller_gets_the_only_class_of_a_code_but_none_of_two() -> None:
    assert type(crossed(error_codes.failed(shop.Closed(until="noon")))) is shop.Closed
    assert type(crossed(error_codes.failed(shop.SoldOut(sku="A")))) is RemoteError


codes = st.sampled_from(["", "sold_out", "tests_shop_closed", *sorted(RESERVED_CODES)]) | st.text(max_size=5)


@given(codes, st.sampled_from(["no", "maybe", "yes", ""]), st.text(max_size=5), bodies)
def test_any_error_reply_becomes_an_error(code: str, executed: str, message: str, details: Any) -> None:
    received = crossed(OutgoingError("error", code, executed, message, details), shop.Count)
    assert isinstance(received, ServiceBusError)
    assert str(received) is not None
    assert received.executed in ("no", "maybe", "yes")
    if received.executed == "no":
        assert executed == "no"


def test_details_that_are_no_msgpack_are_left_out() -> None:
    reply = IncomingReply("error", code="odd", executed="yes", details=msgspec.Raw(b"\xc1"))
    received = error_codes.from_wire(reply, "a.request", "x", dict)
    assert isinstance(received, RemoteError)
    assert received.details is None


class Inner(msgspec.Struct):
    sku: str


class Outer(msgspec.Struct):
    inner: list[Inner]
    by_name: dict[str, Inner] = {}


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({}, "$.inner", "missing required field"),
        ({"inner": [{"sku": "A"}, {}]}, "$.inner[1].sku", "missing required field"),
        ({"inner": [{"sku": 7}]}, "$.inner[0].sku", "Expected `str`, got `int`"),
        ({"inner": {}}, "$.inner", "Expected `array`, got `object`"),
        ({"inner": [], "by_name": {"x": {"sku": None}}}, "$.by_name[...].sku", "Expected `str`, got `None`"),
        ([], "$", "Expected `object`, got `array`"),
    ],
)
def test_an_invalid_request_names_the_path_of_the_field(body: Any, field: str, reason: str) -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.msgpack.decode(msgspec.msgpack.encode(body), type=Outer)
    error = error_codes.invalid(caught.value)
    assert error.field == field
    assert reason in error.reason
    assert "$" not in error.reason, "the path is said once"
