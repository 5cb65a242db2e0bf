from __future__ import annotations

import functools
from typing import Any

import pytest

from servicebus import Adaptive, ConfigurationError, Context, Service, Shedding
from servicebus.api.handler import make_handler

from ...support.shop import (
    Count,
    Placed,
    Reserve,
    Reserved,
)


async def typed(request: Reserve, context: Context) -> Reserved:
    return Reserved(request.order_id, 0)


async def untyped(message: dict[str, Any]) -> dict[str, Any]:
    return message


def plain(request: Count) -> int:
    return request.upto


def unannotated(message):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    return message


async def event(event: Placed) -> None: ...


def test_a_typed_handler_serves_the_operation_of_its_request() -> None:
    handler = make_handler(None, typed)
    assert (handler.name, handler.reply, handler.wants_context, handler.in_thread) == ("reserve", Reserved, True, False)


def test_an_untyped_handler_serves_its_name() -> None:
    handler = make_handler("echo", untyped)
    assert (handler.name, handler.reply_class, handler.wants_context) == ("echo", None, False)
    assert make_handler(None, untyped).name == "untyped"


def test_a_plain_function_runs_in_a_thread() -> None:
    assert make_handler(None, plain).in_thread
    assert make_handler(None, unannotated).in_thread


def test_decorating_returns_the_function_unchanged() -> None:
    service = Service("shop")
    assert service.handler(typed) is typed
    assert service.handler("echo")(untyped) is untyped
    assert service.on("orders.placed")(event) is event


def test_a_service_knows_its_channels_operations_and_events() -> None:
    service = Service("shop", version="1.2.0")
    service.handler(typed)
    service.on("orders.placed")(event)
    assert (service.name, service.version) == ("shop", "1.2.0")
    assert (service.request_channel, service.events_channel) == ("shop.request", "shop.events")
    assert (list(service.operations), list(service.events)) == (["reserve"], ["orders.placed"])


def test_a_second_handler_of_one_operation_is_refused() -> None:
    service = Service("shop")
    service.handler(typed)
    with pytest.raises(ConfigurationError, match="service 'shop' has two handlers for 'reserve'"):
        service.handler("reserve")(untyped)


def test_a_second_handler_of_one_event_is_refused() -> None:
    service = Service("shop")
    service.on("orders.placed")(event)
    with pytest.raises(ConfigurationError, match="two handlers"):
        service.on("orders.placed")(event)


async def takes_nothing() -> None: ...
async def takes_three(a: Any, b: Any, c: Any) -> None: ...


async def contradicts(request: Reserve) -> int:
    return 0


async def takes_more(request: Reserve, **more: Any) -> Reserved:
    return Reserved(request.order_id, 0)


async def names_nothing(request: Missing) -> None: ...  # type: ignore[name-defined] # noqa: F821


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (takes_nothing, "must take the message"),
        (takes_three, "must take the message"),
        (contradicts, "its request declares"),
        (names_nothing, "Missing"),
    ],
)
def test_a_function_that_can_be_no_handler_is_refused(function: Any, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        Service("shop").handler(function)
    assert function.__qualname__ in str(caught.value)


def test_keywords_of_a_handler_are_no_parameters() -> None:
    assert not make_handler(None, takes_more).wants_context


def test_a_wrapped_handler_is_read_as_what_it_wraps() -> None:
    @functools.wraps(typed)
    async def wrapper(*args: Any) -> Any:
        return await typed(*args)

    handler = make_handler(None, wrapper)
    assert (handler.name, handler.wants_context, handler.in_thread) == ("reserve", True, False)


@pytest.mark.parametrize("name", ["", "a.b", "a b", "ä", "x" * 41])
def test_a_name_that_makes_no_channel_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no service name"):
        Service(name)


def test_an_event_name_that_is_no_channel_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is no channel name"):
        Service("shop").on("orders placed")(event)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("shedding", Shedding, "shedding is <class 'servicebus.*Shedding'>: give shedding=Shedding()"),
        ("shedding", True, "shedding is True: give shedding=Shedding()"),
        ("shedding", Adaptive(), r"shedding is Adaptive\(.*\): give shedding=Shedding()"),
        ("adaptive", Adaptive, "adaptive is <class 'servicebus.*Adaptive'>: give adaptive=Adaptive()"),
        ("adaptive", True, "adaptive is True: give adaptive=Adaptive()"),
        ("adaptive", False, "adaptive is False: give adaptive=Adaptive(), or None"),
    ],
)
def test_a_policy_that_is_none_is_refused_where_it_is_given(field: str, value: object, complaint: str) -> None:
    policy: dict[str, Any] = {field: value}
    with pytest.raises(ConfigurationError, match=complaint.replace("()", r"\(\)")):
        Service("shop", **policy)


def test_a_service_keeps_the_policies_that_it_was_given() -> None:
    service = Service("shop", shedding=Shedding(), adaptive=Adaptive())
    assert (service.shedding, service.adaptive) == (Shedding(), Adaptive())
    assert (Service("shop").shedding, Service("shop").adaptive) == (None, None)
