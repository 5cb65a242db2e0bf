from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import servicebus
from servicebus import ConfigurationError, Context, NoWorkers, RemoteError, Service, ServiceBus
from servicebus.api.middleware import (
    BusMiddleware,
    CallNext,
    Endpoint,
    Invocation,
    ServiceMiddleware,
)

from ...support.shop import Count, Placed, calling
from ...support.timing import eventually


def outgoing_notes(name: str, notes: list[str]) -> BusMiddleware:
    async def note(invocation: Invocation, call_next: CallNext) -> Any:
        notes.append(f"{name} {invocation.kind} {invocation.channel}")
        try:
            return await call_next(invocation)
        finally:
            notes.append(f"{name} done")

    return note


def handler_notes(name: str, notes: list[str]) -> ServiceMiddleware:
    async def note(request: Any, context: Context, call_next: Endpoint) -> Any:
        notes.append(f"{name} before")
        try:
            return await call_next(request, context)
        finally:
            notes.append(f"{name} after")

    return note


def counting(notes: list[str], middleware: list[ServiceMiddleware]) -> Service:
    service = Service("shop", middleware=middleware)

    @service.handler
    async def count(request: Count) -> int:
        notes.append("handler")
        return request.upto

    @service.handler("sync")
    def sync(message: dict[str, Any]) -> str:
        notes.append("handler")
        return "done"

    @service.on("orders.placed")
    async def on_placed(event: Placed) -> None:
        notes.append("handler")

    return service


@pytest.mark.parametrize(("request_", "reply"), [(Count(upto=3), 3), ({"type": "sync"}, "done")])
async def test_the_first_middleware_of_a_service_is_outermost(url: str, request_: Any, reply: Any) -> None:
    notes: list[str] = []
    service = counting(notes, [handler_notes("a", notes), handler_notes("b", notes)])
    async with calling(url, service) as bus:
        assert await bus.call("shop.request", request_) == reply
    assert notes == ["a before", "b before", "handler", "b after", "a after"]


async def test_events_pass_the_middleware_of_a_service_too(url: str) -> None:
    notes: list[str] = []
    async with calling(url, counting(notes, [handler_notes("a", notes)])) as bus:
        await bus.publish("orders.placed", Placed("o-1"))
        await eventually(lambda: len(notes) == 3)
    assert notes == ["a before", "handler", "a after"]


async def test_the_first_middleware_of_a_bus_is_outermost_for_all_that_leaves(url: str) -> None:
    notes: list[str] = []
    middleware = [outgoing_notes("a", notes), outgoing_notes("b", notes)]
    async with calling(url, counting([], []), middleware=middleware) as bus:
        assert await bus.call("shop.request", Count(upto=3), timeout=3.0) == 3
        await bus.send("shop.request", Count())
        await bus.publish("orders.placed", Placed("o-1"))
    assert notes == [
        *("a call shop.request", "b call shop.request", "b done", "a done"),
        *("a send shop.request", "b send shop.request", "b done", "a done"),
        *("a publish orders.placed", "b publish orders.placed", "b done", "a done"),
    ]


async def test_middleware_may_change_what_leaves_and_what_comes_back(url: str) -> None:
    async def redirect(invocation: Invocation, call_next: CallNext) -> Any:
        assert invocation == Invocation("call", "other.request", Count(upto=1), 3.0)
        with servicebus.context(headers={"added": "yes"}):
            return await call_next(Invocation("call", "shop.request", Count(upto=20), 1.0)) + 1

    async def double(request: Any, context: Context, call_next: Endpoint) -> Any:
        assert dict(context.headers) == {"added": "yes"}
        return 2 * await call_next(Count(upto=request.upto + 1), context)

    async with calling(url, counting([], [double]), middleware=[redirect]) as bus:
        assert await bus.call("other.request", Count(upto=1), timeout=3.0) == 43


async def test_middleware_sees_errors_and_may_call_again(url: str) -> None:
    attempts: list[int] = []

    async def again(invocation: Invocation, call_next: CallNext) -> Any:
        for attempt in range(3):
            attempts.append(attempt)
            try:
                return await call_next(invocation)
            except NoWorkers:
                continue
        return "gave up"

    async with ServiceBus(url, middleware=[again]) as bus:
        assert await bus.call("shop.request", {"type": "count"}) == "gave up"
    assert attempts == [0, 1, 2]


def refusing(error: Callable[[], Exception]) -> ServiceMiddleware:
    async def refuse(request: Any, context: Context, call_next: Endpoint) -> Any:
        raise error()

    return refuse


async def test_an_error_of_service_middleware_reaches_the_caller(url: str) -> None:
    notes: list[str] = []
    service = counting(notes, [refusing(lambda: RemoteError("teapot", "short", {"stout": True}))])
    async with calling(url, service) as bus:
        with pytest.raises(RemoteError) as caught:
            await bus.call("shop.request", Count())
    assert (caught.value.code, caught.value.message, caught.value.details) == ("teapot", "short", {"stout": True})
    assert notes == []


@pytest.mark.parametrize("wrong", [Invocation, None, "name"])
def test_what_is_no_middleware_is_refused_by_its_place(wrong: Any) -> None:
    for make in (ServiceBus, lambda **options: Service("shop", **options)):
        with pytest.raises(ConfigurationError, match=r"middleware\[1\] is"):
            make(middleware=[outgoing_notes("a", []), wrong])
