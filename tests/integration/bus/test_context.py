from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest

import servicebus
from servicebus import ConfigurationError, Context, DeadlineExceeded, InvalidRequest, Request, Service, ServiceBus
from servicebus.api.context import current

from ...support.shop import Placed, calling
from ...support.timing import LONG, MS, eventually


class Step(Request[dict[str, Any]]):
    """What a handler saw, and what those saw that it called, down to ``depth``."""

    depth: int = 0
    pause: float = 0.0


MARK: ContextVar[str] = ContextVar("mark", default="nobody's")


def chain(link: str, next_link: str) -> Service:
    service = Service(link)

    @service.handler
    async def step(request: Step, context: Context) -> dict[str, Any]:
        await asyncio.sleep(request.pause)
        seen = {
            "correlation_id": context.correlation_id,
            "headers": dict(context.headers),
            "caller": context.caller,
            "remaining": context.remaining(),
            "deadline_ms": context.deadline_ms,
        }
        if not request.depth:
            return {"seen": [seen]}
        deeper = await context.bus.call(f"{next_link}.request", Step(depth=request.depth - 1), timeout=60.0)
        return {"seen": [seen, *deeper["seen"]]}

    return service


async def test_everything_goes_through_the_whole_stack(url: str) -> None:
    async with calling(url, chain("a", "b"), chain("b", "a")) as bus:
        with servicebus.context(correlation_id="abc", flags={"new": True, "old": False}, headers={"tenant": "t1"}):
            seen = (await bus.call("a.request", Step(depth=4), timeout=5.0))["seen"]
    assert len(seen) == 5
    assert {one["correlation_id"] for one in seen} == {"abc"}
    assert all(one["headers"] == {"tenant": "t1", "flag-new": "true", "flag-old": "false"} for one in seen)
    assert [one["caller"] for one in seen] == ["tests", "worker", "worker", "worker", "worker"]


async def test_the_deadline_of_a_nested_call_is_never_later_than_the_outer_one(url: str) -> None:
    async with calling(url, chain("a", "b"), chain("b", "a")) as bus:
        seen = (await bus.call("a.request", Step(depth=3, pause=20 * MS), timeout=5.0))["seen"]
    remaining = [one["remaining"] for one in seen]
    assert remaining == sorted(remaining, reverse=True)
    assert remaining[0] <= 5.0 - 19 * MS
    assert len({one["deadline_ms"] for one in seen}) == 1


async def test_a_call_without_a_correlation_id_gets_one_for_its_nested_calls(url: str) -> None:
    async with calling(url, chain("a", "b"), chain("b", "a")) as bus:
        first = (await bus.call("a.request", Step(depth=2)))["seen"]
        second = (await bus.call("a.request", Step()))["seen"]
    assert len({one["correlation_id"] for one in first}) == 1
    assert first[0]["correlation_id"]
    assert first[0]["correlation_id"] != second[0]["correlation_id"]


async def test_concurrent_calls_do_not_mix_their_contexts(url: str) -> None:
    async def one(number: int) -> None:
        with servicebus.context(correlation_id=f"id-{number}", headers={"number": str(number)}):
            seen = (await bus.call("a.request", Step(depth=2, pause=(number % 7) * MS)))["seen"]
        assert {one["correlation_id"] for one in seen} == {f"id-{number}"}
        assert {one["headers"]["number"] for one in seen} == {str(number)}

    async with calling(url, chain("a", "b"), chain("b", "a")) as bus:
        await asyncio.gather(*map(one, range(100)))


async def test_a_handler_may_add_headers_for_what_it_calls_and_for_nothing_else(url: str) -> None:
    service = Service("outer")

    @service.handler("outer")
    async def outer(message: dict[str, Any], context: Context) -> dict[str, Any]:
        with servicebus.context(headers={"tenant": "t2", "added": "yes"}, flags={"new": False}):
            inside = await context.bus.call("a.request", Step())
        after = await context.bus.call("a.request", Step())
        return {"inside": inside["seen"][0], "after": after["seen"][0]}

    async with calling(url, service, chain("a", "b")) as bus:
        with servicebus.context(correlation_id="abc", headers={"tenant": "t1"}, flags={"new": True}):
            seen = await bus.call("outer.request", {"type": "outer"})
    assert seen["inside"]["headers"] == {"tenant": "t2", "added": "yes", "flag-new": "false"}
    assert seen["after"]["headers"] == {"tenant": "t1", "flag-new": "true"}
    assert seen["inside"]["correlation_id"] == seen["after"]["correlation_id"] == "abc"


async def test_events_and_one_way_messages_carry_the_context_but_no_deadline(url: str) -> None:
    seen: asyncio.Queue[Context] = asyncio.Queue()
    service = Service("shop")

    @service.on("orders.placed")
    async def on_placed(event: Placed, context: Context) -> None:
        seen.put_nowait(context)

    @service.handler("recount")
    async def recount(message: dict[str, Any], context: Context) -> None:
        seen.put_nowait(context)

    async with calling(url, service) as bus:
        with servicebus.context(correlation_id="abc", headers={"tenant": "t1"}):
            await bus.publish("orders.placed", Placed("o-1"))
            await bus.send("shop.request", {"type": "recount"})
        for _ in range(2):
            context = await asyncio.wait_for(seen.get(), 5)
            assert (context.correlation_id, dict(context.headers)) == ("abc", {"tenant": "t1"})
            assert (context.caller, context.remaining()) == ("tests", None)


async def test_flags_are_read_as_the_first_caller_set_them(url: str) -> None:
    service = Service("shop")

    @service.handler("flags")
    async def flags(message: dict[str, Any], context: Context) -> list[bool]:
        return [context.flag("on"), context.flag("off"), context.flag("unset"), context.flag("unset", default=True)]

    async with calling(url, service) as bus:
        with servicebus.context(flags={"on": True, "off": False}):
            assert await bus.call("shop.request", {"type": "flags"}) == [True, False, False, True]


async def test_a_context_is_in_force_inside_its_block_alone() -> None:
    assert current() is None
    with servicebus.context(correlation_id="outer", headers={"a": "1"}) as outer:
        assert current() is outer
        with servicebus.context(headers={"b": "2"}) as inner:
            assert (inner.correlation_id, dict(inner.headers)) == ("outer", {"a": "1", "b": "2"})
        assert current() is outer
    assert current() is None


def test_headers_cannot_be_changed_behind_the_back_of_the_context() -> None:
    given = {"a": "1"}
    with servicebus.context(headers=given) as context:
        given["b"] = "2"
        assert dict(context.headers) == {"a": "1"}
        with pytest.raises(TypeError):
            context.headers["c"] = "3"  # type: ignore[index]


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"Tenant": "x"}, "headers"),
        ({"": "x"}, "headers"),
        ({"a b": "x"}, "headers"),
        ({"a" * 65: "x"}, "headers"),
        ({"a\n": "x"}, "headers"),
        ({7: "x"}, "headers"),
        ({"a": 7}, "headers.a"),
        ({"a": "x\r\ny"}, "headers.a"),
        ({"a": "x\0"}, "headers.a"),
        ({"a": "x" * 8192}, "headers"),
        ({f"h{number}": "" for number in range(65)}, "headers"),
    ],
)
def test_a_header_that_the_wire_does_not_take_is_refused(headers: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught, servicebus.context(headers=headers):
        pass
    assert caught.value.field == field
    assert current() is None


@pytest.mark.parametrize("flags", [{"a": "true"}, {"a": 1}, {"A": True}, {"a" * 60: True}, {"": None}])
def test_a_flag_that_is_none_is_refused(flags: Any) -> None:
    with pytest.raises(InvalidRequest), servicebus.context(flags=flags):
        pass


@pytest.mark.parametrize("correlation_id", ["x" * 129, "a\nb", 7, b"x"])
def test_a_correlation_id_that_is_none_is_refused(correlation_id: Any) -> None:
    with pytest.raises(InvalidRequest), servicebus.context(correlation_id=correlation_id):
        pass


def test_a_context_of_no_message_has_no_bus_and_no_deadline() -> None:
    context = Context()
    assert context.remaining() is None
    with pytest.raises(ConfigurationError, match="belongs to no message"):
        _ = context.bus


async def test_what_remains_is_never_negative(url: str) -> None:
    async with ServiceBus(url) as bus:
        assert Context(deadline_ms=bus.now_ms() - 1000, _bus=bus).remaining() == 0.0
        remaining = Context(deadline_ms=bus.now_ms() + 1000, _bus=bus).remaining()
        assert remaining is not None
        assert 0.9 < remaining <= 1.0


async def test_a_handler_runs_in_the_context_that_serves_not_the_senders(url: str) -> None:
    service = Service("shop")

    @service.handler("mark")
    async def mark(message: dict[str, Any]) -> str:
        return MARK.get()

    async with calling(url, service) as bus:
        MARK.set("the sender's")
        with servicebus.context(correlation_id="abc"):
            assert await bus.call("shop.request", {"type": "mark"}) == "nobody's"


@pytest.mark.parametrize("detached", [True, False])
async def test_only_what_is_detached_may_call_after_its_deadline(url: str, detached: bool) -> None:
    """What a handler leaves behind keeps correlation ID and headers."""
    service, left = Service("a"), list[asyncio.Task[Any]]()

    async def later(context: Context) -> Any:
        while context.remaining():
            await asyncio.sleep(5 * MS)
        return await context.bus.call("b.request", Step(), timeout=60.0)

    @service.handler("leave")
    async def leave(message: dict[str, Any], context: Context) -> None:
        with servicebus.context(detached=detached, headers={"left": "behind"}) as inner:
            assert (inner.remaining() is None) is detached
            left.append(asyncio.create_task(later(context)))

    async with calling(url, service, chain("b", "a")) as bus:
        with servicebus.context(correlation_id="abc"):
            await bus.call("a.request", {"type": "leave"}, timeout=0.5)
        outcome: Any = (await asyncio.gather(left[0], return_exceptions=True))[0]
    if detached:
        (seen,) = outcome["seen"]
        assert (seen["correlation_id"], seen["headers"]) == ("abc", {"left": "behind"})
        assert seen["remaining"] > 30
    else:
        assert isinstance(outcome, DeadlineExceeded)


async def test_a_detached_thread_may_call_when_its_handler_is_abandoned(url: str) -> None:
    service, outcomes = Service("a"), list[Any]()
    may_end = threading.Event()

    @service.handler("block")
    def block(message: dict[str, Any], context: Context) -> None:
        may_end.wait(LONG)
        for detached in (False, True):
            with servicebus.context(detached=detached):
                try:
                    outcomes.append(context.bus.sync.call("b.request", Step(), timeout=60.0)["seen"])
                except DeadlineExceeded as error:
                    outcomes.append(error)

    async with calling(url, service, chain("b", "a")) as bus:
        call = asyncio.create_task(bus.call("a.request", {"type": "block"}, timeout=60.0))
        await asyncio.sleep(0)
        call.cancel()
        may_end.set()
        await eventually(lambda: len(outcomes) == 2)
    assert len(outcomes[1]) == 1
