"""Whatever a handler raises, its caller is answered, its credit is given back, and the worker goes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from servicebus import InvalidRequest, RemoteError, Request, Service, ServiceBus, ServiceError, Unauthorized

from ...support.shop import CHANNEL
from ...support.timing import LONG, eventually

CONCURRENCY = 2
MESSAGES = 5
"""More than a worker holds at once: if one kept its credit, the last ones would never start."""


@pytest.fixture(autouse=True)
def few_tracebacks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log only errors whose text cannot be had. The tracebacks of all of them took a third of the unit tests' time."""
    if "unprintable" not in request.node.name:
        monkeypatch.setattr(logging.getLogger("servicebus.serving.handling"), "disabled", True)


class Panic(BaseException):
    """Not an Exception, as those of some compiled extensions."""


class Unprintable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class UnprintablePanic(Unprintable, BaseException):
    """Both."""


def leave() -> None:
    sys.exit("so long")


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


ACTS = {
    "StopIteration": raising(StopIteration()),
    "StopIteration with a value": raising(StopIteration(1)),
    "StopAsyncIteration": raising(StopAsyncIteration()),
    "GeneratorExit": raising(GeneratorExit()),
    "KeyboardInterrupt": raising(KeyboardInterrupt()),
    "SystemExit": raising(SystemExit(0)),
    "sys.exit": leave,
    "CancelledError": raising(asyncio.CancelledError()),
    "TimeoutError": raising(TimeoutError()),
    "a panic": raising(Panic()),
    "a group": raising(ExceptionGroup("two", [ValueError(), StopIteration()])),
    "a group of panics": raising(BaseExceptionGroup("two", [Panic(), SystemExit(1)])),
    "MemoryError": raising(MemoryError()),
    "RecursionError": raising(RecursionError()),
    "an unprintable error": raising(Unprintable()),
    "an unprintable panic": raising(UnprintablePanic()),
}


class Go(Request[int]):
    """Raises while it is decoded, when ``act`` names what."""

    act: str = ""

    def __post_init__(self) -> None:
        if self.act:
            ACTS[self.act]()


class Raising:
    """A service that raises in every place where what users wrote runs."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act
        self.service = Service("shop", middleware=[self.around], around_sync=self.around_sync)
        self.service.handler(self.go)
        for function in (self.at_once, self.later, self.in_a_group, self.in_a_thread, self.quiet, self.entering):
            self.service.handler(function.__name__)(function)
        self.service.handler("leaving")(self.leaving)
        self.service.handler("before")(self.quiet)
        self.service.handler("after")(self.quiet)

    async def around(self, request: Any, context: Any, call_next: Any) -> Any:
        name = request.get("type") if isinstance(request, dict) else ""
        if name == "before":
            self.act()
        result = await call_next(request, context)
        if name == "after":
            self.act()
        return result

    @contextlib.contextmanager
    def around_sync(self) -> Iterator[None]:
        if self.place == "entering":
            self.act()
        yield
        if self.place == "leaving":
            self.act()

    place = ""

    async def go(self, request: Go) -> int:
        return 1

    async def at_once(self, message: dict[str, Any]) -> None:
        self.act()

    async def later(self, message: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        self.act()

    async def in_a_group(self, message: dict[str, Any]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.later(message))

    def in_a_thread(self, message: dict[str, Any]) -> None:
        self.act()

    async def quiet(self, message: dict[str, Any]) -> int:
        return 1

    def entering(self, message: dict[str, Any]) -> int:
        return 1

    def leaving(self, message: dict[str, Any]) -> int:
        return 1


ENDS_THE_LOOP = {"SystemExit", "sys.exit", "KeyboardInterrupt"}
"""What asyncio lets end the event loop when a task of a task group raises it."""
PLACES = ["at_once", "later", "in_a_thread", "entering", "leaving", "before", "after"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ACTS)
async def test_whatever_is_raised_is_answered_and_the_worker_goes_on(fresh_hub: str, name: str, place: str) -> None:
    raising = Raising(ACTS[name])
    raising.place = place
    async with (
        ServiceBus(fresh_hub) as bus,
        bus.serving(raising.service, concurrency=CONCURRENCY),
        asyncio.timeout(LONG),
    ):
        calls = [(CHANNEL, {"type": place})] * MESSAGES
        outcomes = await bus.gather(*calls, timeout=LONG / 2, return_exceptions=True)
        assert [(type(one), one.code, one.executed) for one in outcomes] == [(RemoteError, "internal", "yes")] * 5
        for _ in range(MESSAGES):
            await bus.send(CHANNEL, {"type": place})
        await eventually(lambda: bus.counters.failed == 2 * MESSAGES)
        assert await bus.call(CHANNEL, {"type": "quiet"}) == 1
        assert bus.counters.handled == 2 * MESSAGES + 1


# asyncio itself lets SystemExit and KeyboardInterrupt out of a task of a group end the event loop.
@pytest.mark.parametrize("name", sorted(ACTS.keys() - ENDS_THE_LOOP - {"CancelledError"}))
async def test_whatever_comes_out_of_a_task_group_is_answered(fresh_hub: str, name: str) -> None:
    async with (
        ServiceBus(fresh_hub) as bus,
        bus.serving(Raising(ACTS[name]).service, concurrency=CONCURRENCY),
        asyncio.timeout(LONG),
    ):
        calls = [(CHANNEL, {"type": "in_a_group"})] * MESSAGES
        outcomes = await bus.gather(*calls, timeout=LONG / 2, return_exceptions=True)
        assert [(type(one), one.executed) for one in outcomes] == [(RemoteError, "yes")] * MESSAGES
        assert await bus.call(CHANNEL, {"type": "quiet"}) == 1


class Full(ServiceError, code="tests_raised_full"):
    """An error of the contract of this module."""

    left: int


class Fill(Request[int]):
    """Raises ``Full``: in a task of a group, with ``depth`` groups around that, in a thread if asked for."""

    depth: int = 1


async def full(depth: int) -> int:
    if depth == 0:
        raise Full(left=0)
    async with asyncio.TaskGroup() as group:
        group.create_task(full(depth - 1))
        group.create_task(asyncio.sleep(LONG))
    return 1


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("place", ["handler", "middleware", "thread"])
async def test_a_contract_error_out_of_a_task_group_is_that_error(
    fresh_hub: str, depth: int, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def around(request: Fill, context: Any, call_next: Any) -> Any:
        return await (full(depth) if place == "middleware" else call_next(request, context))

    service = Service("shop", middleware=[around])
    if place == "thread":

        @service.handler
        def fill_in_thread(request: Fill) -> int:
            return asyncio.run(full(depth))
    else:

        @service.handler
        async def fill(request: Fill) -> int:
            return await full(depth)

    async with ServiceBus(fresh_hub) as bus, bus.serving(service), asyncio.timeout(LONG):
        with pytest.raises(Full) as caught:
            await bus.call(CHANNEL, Fill(depth=depth))
    assert caught.value.left == 0
    assert "failed" not in caplog.text


async def test_a_refusal_out_of_a_task_group_of_middleware_is_that_refusal(fresh_hub: str) -> None:
    async def refused() -> None:
        raise Unauthorized("quiet", "not today")

    async def around(request: Any, context: Any, call_next: Any) -> Any:
        async with asyncio.TaskGroup() as group:
            group.create_task(refused())
        return await call_next(request, context)

    service, ran = Service("shop", middleware=[around]), list[int]()

    @service.handler("quiet")
    async def quiet(message: dict[str, Any]) -> None:
        ran.append(1)

    async with ServiceBus(fresh_hub) as bus, bus.serving(service), asyncio.timeout(LONG):
        with pytest.raises(Unauthorized, match="not today") as caught:
            await bus.call(CHANNEL, {"type": "quiet"})
    assert (caught.value.executed, ran) == ("no", [])


@pytest.mark.parametrize("name", ACTS)
async def test_whatever_the_check_of_a_request_raises_is_a_refusal(fresh_hub: str, name: str) -> None:
    async with (
        ServiceBus(fresh_hub) as bus,
        bus.serving(Raising(ACTS[name]).service, concurrency=CONCURRENCY),
        asyncio.timeout(LONG),
    ):
        calls = [(CHANNEL, {"type": "go", "act": name})] * MESSAGES
        outcomes = await bus.gather(*calls, timeout=LONG / 2, return_exceptions=True)
        assert [(type(one), one.executed) for one in outcomes] == [(InvalidRequest, "no")] * MESSAGES
        assert await bus.call(CHANNEL, Go()) == 1


@pytest.mark.parametrize("name", ACTS)
async def test_one_that_raises_takes_no_other_message_of_its_batch(fresh_hub: str, name: str) -> None:
    raising = Raising(ACTS[name])
    async with ServiceBus(fresh_hub) as bus, bus.serving(raising.service), asyncio.timeout(LONG):
        kinds = ["at_once", "quiet", "in_a_thread", "quiet", "later", "quiet"]
        outcomes = await bus.gather(
            *((CHANNEL, {"type": kind}) for kind in kinds), timeout=LONG / 2, return_exceptions=True
        )
        assert [outcome == 1 for outcome in outcomes] == [kind == "quiet" for kind in kinds]
