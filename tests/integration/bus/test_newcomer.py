"""What a newcomer tried first and got wrong, each with a clear answer."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from servicebus import (
    ConfigurationError,
    Context,
    InvalidRequest,
    MessageTooLarge,
    NoWorkers,
    Overloaded,
    RemoteError,
    Service,
    ServiceBus,
    ServiceError,
    Unauthorized,
)
from tests.support.timing import eventually

Refusal = type[Unauthorized] | type[Overloaded] | type[InvalidRequest]


@pytest.mark.parametrize(
    "arguments",
    [
        {"timeout": -1},
        {"timeout": "x"},
        {"capacity": 0},
        {"capacity": "9"},
        {"expiry": -1},
        {"presence_ttl": 0},
        {"max_pending": 0},
        {"max_message_size": 2 << 20},
        {"channel_capacity": {"a*": -1}},
        {"prefix": ""},
    ],
)
def test_a_bad_number_is_refused_by_name_before_anything_is_opened(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        ServiceBus("memory://", **arguments)


def test_decorators_without_their_parentheses_are_refused() -> None:
    service = Service("shop")

    async def handler(message: dict[str, Any]) -> None: ...

    decorators: list[Any] = [service.on, service.every]
    for decorator in decorators:
        with pytest.raises(ConfigurationError):
            decorator(handler)
    for nameless in ("", 3, handler.__class__):
        with pytest.raises(ConfigurationError):
            service.handler(nameless)  # type: ignore[type-var]


def test_a_second_parameter_that_is_no_context_is_refused() -> None:
    service = Service("shop")
    with pytest.raises(ConfigurationError, match="second parameter"):

        @service.handler
        async def swapped(context: Context, message: int) -> None: ...


def test_a_contract_error_cannot_have_a_field_that_every_error_has() -> None:
    with pytest.raises(ConfigurationError, match="details"):

        class Bad(ServiceError, code="bad_field_name"):
            details: str


@pytest.fixture
async def service() -> Service:
    return Service("shop")


@pytest.fixture
async def bus(url: str, service: Service) -> AsyncIterator[ServiceBus]:
    async with ServiceBus(url, max_message_size=1 << 20) as caller:
        yield caller


async def test_a_worker_that_takes_less_says_so_at_once(url: str, bus: ServiceBus, service: Service) -> None:
    async with ServiceBus(url) as worker, worker.serving(service):
        with pytest.raises(MessageTooLarge) as refusal:
            await bus.call("shop.request", {"type": "big", "text": "x" * 100_000})
    assert refusal.value.executed == "no"
    assert refusal.value.limit == worker.config.max_message_size


async def test_a_handler_that_exits_fails_alone(bus: ServiceBus, service: Service) -> None:
    @service.handler("exit")
    def leave(message: dict[str, Any]) -> None:
        sys.exit(3)

    async with bus.serving(service):
        with pytest.raises(RemoteError) as failure:
            await bus.call("shop.request", {"type": "exit"})
        assert (failure.value.code, failure.value.executed) == ("internal", "yes")


async def test_what_nobody_waits_for_is_counted_when_it_is_refused(bus: ServiceBus, service: Service) -> None:
    @service.on("shop.opened")
    async def on_opened(event: int) -> None: ...

    async with bus.serving(service):
        await bus.send("shop.request", {"type": "nothing_like_it"})
        await bus.publish("shop.opened", "not a number")
        await eventually(lambda: bus.counters.unanswered_errors == 2)


@pytest.mark.parametrize("kind", [Unauthorized, Overloaded, InvalidRequest])
async def test_middleware_refuses_before_the_handler(url: str, kind: Refusal) -> None:
    async def guard(request: Any, context: Context, call_next: Any) -> Any:
        raise kind("open", "not today") if kind is not InvalidRequest else kind("not today")

    service = Service("shop", middleware=[guard])

    @service.handler("open")
    async def opened(message: dict[str, Any]) -> None: ...

    async with ServiceBus(url) as bus, bus.serving(service):
        with pytest.raises(kind) as refusal:
            await bus.call("shop.request", {"type": "open"})
        assert refusal.value.executed == "no"


async def test_every_subscriber_sees_the_same_correlation_id(bus: ServiceBus) -> None:
    seen: list[str] = []
    subscribers = [Service("alpha"), Service("beta")]
    for subscriber in subscribers:

        @subscriber.on("shop.opened")
        async def on_opened(event: dict[str, Any], context: Context) -> None:
            seen.append(context.correlation_id)

    async with bus.serving(subscribers[0]), bus.serving(subscribers[1]):
        await bus.publish("shop.opened", {})
        await eventually(lambda: len(seen) == 2)
    assert seen[0] == seen[1] != ""


async def test_without_a_url_nobody_is_reached_and_the_error_says_so(no_server: None) -> None:
    async with ServiceBus() as bus:
        with pytest.raises(NoWorkers, match=r"in this process.*SERVICEBUS_URL"):
            await bus.call("shop.request", {"type": "echo"})
