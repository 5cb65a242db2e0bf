"""An error crosses the wire whatever its parts are: they become text, and what was not executed stays so."""

from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus import (
    InvalidRequest,
    MessageTooLarge,
    Overloaded,
    RemoteError,
    ServiceBusError,
    ServiceError,
    Unauthorized,
    UnknownOperation,
)
from servicebus.protocol import error_codes
from servicebus.protocol.envelope import IncomingReply, OutgoingError


class Label(str):
    """A str of another class, as those of templates are."""

    __slots__ = ()


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class BadlyMade(RemoteError):
    """It does not call the constructor of its base."""

    def __init__(self) -> None:
        pass


class BadlyMadeRefusal(InvalidRequest):
    def __init__(self) -> None:
        pass


PARTS: list[Any] = [
    None,
    404,
    1.5,
    b"bytes",
    {"why": "a dict"},
    ["a", "list"],
    ValueError("an error"),
    Label("a label"),
    Unprintable(),
    object(),
    "\ud800 lone",
    "two\nlines",
    "",
]
MAKERS: dict[str, Any] = {
    "InvalidRequest": lambda part: InvalidRequest(part, part),
    "Overloaded": lambda part: Overloaded(part, part),
    "Unauthorized": lambda part: Unauthorized(part, part),
    "UnknownOperation": lambda part: UnknownOperation(part, (part, part)),
    "MessageTooLarge": lambda part: MessageTooLarge(part, part),
}


def crossed(sent: OutgoingError) -> ServiceBusError:
    reply = msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=IncomingReply)
    return error_codes.from_wire(reply, "a.request", "x", dict)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
@pytest.mark.parametrize("name", MAKERS)
def test_a_refusal_made_of_anything_is_received_as_one(name: str, part: Any) -> None:
    error = MAKERS[name](part)
    assert isinstance(str(error), str)
    received = crossed(error_codes.refused(error))
    assert type(received) is type(error)
    assert received.executed == "no"


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_a_remote_error_made_of_anything_is_received_as_one(part: Any) -> None:
    error = RemoteError(part, part)
    assert isinstance(str(error), str)
    received = crossed(error_codes.failed(error))
    assert type(received) is RemoteError
    assert received.executed == "yes"
    changed = RemoteError("odd")
    changed.code = changed.message = part
    assert type(crossed(error_codes.failed(changed))) is RemoteError


@pytest.mark.parametrize("error", [BadlyMade(), type("Odd", (ServiceBusError,), {"_text": lambda self: 7})()])
def test_an_error_that_was_made_badly_is_received_as_one(error: ServiceBusError) -> None:
    assert isinstance(str(error), str)
    received = crossed(error_codes.failed(error))
    assert (type(received), received.executed) == (RemoteError, "yes")


def test_a_refusal_that_was_made_badly_is_received_as_one() -> None:
    received = crossed(error_codes.refused(BadlyMadeRefusal()))
    assert (type(received), received.executed) == (InvalidRequest, "no")


def test_what_is_text_stays_as_it_is() -> None:
    assert InvalidRequest(Label("a"), Label("$.b")).args == ("a", "$.b")
    assert type(InvalidRequest(Label("a")).reason) is str
    assert str(MAKERS["InvalidRequest"](ValueError("negative"))) == "negative (field negative)"
    no_reason: Any = None
    assert str(Unauthorized("op", no_reason)) == "not allowed to call 'op'"
    number: Any = 404
    assert RemoteError(number, number).args[:2] == ("404", "404")


# A reply that cannot be sent.


@given(st.sampled_from(["no", "maybe"]), st.integers(min_value=0, max_value=70_000))
def test_a_refusal_that_is_too_large_stays_a_refusal(executed: str, size: int) -> None:
    error = OutgoingError("error", "invalid_request", executed, "x" * size, {"field": "y" * size})
    short = error_codes.shortened(error)
    assert (short.code, short.executed) == (error.code, executed)
    assert error.message.startswith(short.message.removesuffix(" ..."))
    assert len(msgspec.msgpack.encode(short)) < 4096


# Errors that are made again.


class Moved(ServiceError, code="tests_moved"):
    to: str
    price: Decimal = Decimal("1.50")
    keys: tuple[UUID, ...] = ()


REMADE = [
    Moved(to="there", price=Decimal("2.10"), keys=(UUID(int=7),)),
    RemoteError("odd", "said", {"a": [1]}),
    RemoteError("odd", "said", None, "maybe"),
]


@pytest.mark.parametrize("error", REMADE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "remade",
    [
        lambda error: type(error)(*error.args),
        lambda error: type(error)(*json.loads(json.dumps(error.args))),
        lambda error: pickle.loads(pickle.dumps(error)),
        copy.copy,
        copy.deepcopy,
    ],
)
def test_an_error_with_data_can_be_made_again(error: RemoteError, remade: Any) -> None:
    again = remade(error)
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert again.executed == error.executed


def test_positional_data_is_refused_and_the_names_are_given() -> None:
    with pytest.raises(TypeError, match=r"Moved takes its data by name: Moved\(to=..., price=..., keys=...\)"):
        Moved("there")  # type: ignore[call-arg]
