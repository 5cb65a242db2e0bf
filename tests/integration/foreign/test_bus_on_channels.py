"""The bus on layers that somebody else wrote: calls, errors and events."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from servicebus import (
    Context,
    DeadlineExceeded,
    Request,
    Service,
    ServiceBus,
    ServiceBusError,
    UnknownOperation,
    WorkerLost,
    context,
)
from servicebus.layers.redis.layer import RedisLayer

from ...support.shop import (
    CHANNEL,
    Count,
    Line,
    Placed,
    Reserve,
    Reserved,
    SoldOut,
    calling,
    counter,
)
from ...support.timing import MS, eventually


@pytest.fixture
def url(alias: str) -> str:
    """The URL of a bus on the layer under test."""
    return f"django://{alias}"


async def test_a_call_is_answered_with_its_reply_type(url: str) -> None:
    async with calling(url, counter()) as bus:
        reserved = await bus.call(CHANNEL, Reserve(order_id="o-1", lines=[Line("A", 2), Line("B", 3)]))
        assert reserved == Reserved("o-1", 5)


async def test_plain_values_come_back_as_they_were(url: str) -> None:
    message = {"type": "echo", "text": "é", "n": -(2**62), "f": 0.5, "none": None, "deep": [{"a": [1, True]}]}
    async with calling(url, counter()) as bus:
        assert await bus.call(CHANNEL, message) == {**message, "caller_has": "plain values"}


async def test_errors_are_those_of_the_contract_and_of_the_bus(url: str) -> None:
    async with calling(url, counter()) as bus:
        with pytest.raises(SoldOut) as sold_out:
            await bus.call(CHANNEL, Reserve(order_id="o-1", lines=[]))
        assert (sold_out.value.available, sold_out.value.executed) == (3, "yes")
        with pytest.raises(UnknownOperation) as unknown:
            await bus.call(CHANNEL, {"type": "juggle"})
        assert "reserve" in unknown.value.known


async def test_many_calls_at_once_each_get_their_own_reply(url: str) -> None:
    async with calling(url, counter()) as bus:
        replies = await bus.gather(*((CHANNEL, Count(upto=number)) for number in range(200)), timeout=20.0)
        assert replies == list(range(200))


async def test_each_reply_reaches_its_own_call_while_others_are_cancelled(url: str) -> None:
    service, started = Service("moody"), list[int]()

    @service.handler
    async def count(request: Count) -> int:
        started.append(request.upto)
        await asyncio.sleep(random.choice([0, 0, 5, 30]) * MS)
        return request.upto

    async def one(bus: ServiceBus, number: int) -> None:
        await asyncio.sleep(random.uniform(0, 300) * MS)
        call = asyncio.create_task(
            bus.call("moody.request", Count(upto=number), timeout=random.choice([0.01, 0.03, 9]))
        )
        if number % 5 == 0:
            await asyncio.sleep(random.uniform(0, 10) * MS)
            call.cancel()
        (outcome,) = await asyncio.gather(call, return_exceptions=True)
        outcomes[number] = outcome

    outcomes: dict[int, Any] = {}
    async with calling(url, service) as bus:
        await bus.wait_for_workers("moody.request")
        await asyncio.gather(*(one(bus, number) for number in range(300)))
        assert await bus.call("moody.request", Count(upto=-1), timeout=9.0) == -1
    assert len(started) == len(set(started)), "something ran twice"
    for number, outcome in outcomes.items():
        assert isinstance(outcome, ServiceBusError | asyncio.CancelledError) or outcome == number
        assert getattr(outcome, "executed", "") != "no" or number not in started
    assert sum(outcome == number for number, outcome in outcomes.items()) > 50


async def test_the_context_travels_through_nested_calls(url: str) -> None:
    outer = Service("outer")

    @outer.handler("ask")
    async def ask(message: dict[str, Any], here: Context) -> Any:
        return [here.caller, here.correlation_id, await here.bus.call("inner.request", {"type": "describe"})]

    inner = Service("inner")

    @inner.handler("describe")
    async def describe(message: dict[str, Any], here: Context) -> Any:
        return [here.caller, here.correlation_id, here.headers["tenant"], here.flag("new"), bool(here.deadline_ms)]

    async with calling(url, outer, inner) as bus:
        with context(correlation_id="abc", headers={"tenant": "t1"}, flags={"new": True}):
            answer = await bus.call("outer.request", {"type": "ask"})
        assert answer == ["tests", "abc", ["worker", "abc", "t1", True, True]]
        with context(headers={"tenant": "t2"}):
            caller, drawn, (_, inherited, *_) = await bus.call("outer.request", {"type": "ask"})
        assert (caller, bool(drawn)) == ("tests", True)
        assert inherited == drawn


class Moment(msgspec.Struct):
    at: datetime


class When(Request[Moment], tag="when"):
    at: datetime


async def test_instants_of_a_contract_come_back_as_instants(url: str) -> None:
    service, noon = Service("clock"), datetime(2011, 12, 9, 12, 50, tzinfo=UTC)

    @service.handler
    async def when(request: When) -> Moment:
        return Moment(request.at)

    async with calling(url, service) as bus:
        assert await bus.call("clock.request", When(at=noon)) == Moment(noon)


async def test_a_call_without_an_answer_ends_at_its_deadline(url: str, layer: Any) -> None:
    service, release = Service("slow"), asyncio.Event()

    @service.handler("wait")
    async def wait(message: dict[str, Any]) -> None:
        await release.wait()

    async with calling(url, service) as bus:
        with pytest.raises(DeadlineExceeded) as late:
            await bus.call("slow.request", {"type": "wait"}, timeout=100 * MS)
        assert (late.value.stage, late.value.executed) == ("dispatched", "maybe")
        release.set()
        await eventually(lambda: bus.pending == 0)
        with pytest.raises(UnknownOperation):
            await bus.call("slow.request", {"type": "still there"})


async def test_a_drain_that_ends_before_its_handler_is_a_lost_worker(url: str) -> None:
    service, started = Service("slow"), asyncio.Event()

    @service.handler("wait")
    async def wait(message: dict[str, Any]) -> None:
        started.set()
        await asyncio.Event().wait()

    async with calling(url) as bus:
        async with bus.serving(service, drain=20 * MS):
            calling_it = asyncio.create_task(bus.call("slow.request", {"type": "wait"}))
            await started.wait()
        with pytest.raises(WorkerLost):
            await calling_it


async def test_an_event_reaches_each_service_that_subscribed_to_it_once(url: str) -> None:
    heard: list[tuple[str, str]] = []

    def listener(name: str) -> Service:
        service = Service(name)

        @service.on("orders.placed")
        async def placed(event: Placed, here: Context) -> None:
            heard.append((name, f"{event.order_id} of {here.caller} for {here.correlation_id}"))

        return service

    async with calling(url, listener("one"), listener("other")) as bus:
        with context(correlation_id="abc"):
            await bus.publish("orders.placed", Placed("o-1"))
        await bus.publish("orders.nothing", Placed("o-2"))
        await eventually(lambda: len(heard) >= 2)
        await asyncio.sleep(20 * MS)
    assert sorted(heard) == [("one", "o-1 of tests for abc"), ("other", "o-1 of tests for abc")]


async def test_a_worker_is_found_from_its_own_bus_and_from_another(url: str) -> None:
    async with calling(url) as bus, calling(url) as other:
        assert await bus.workers(CHANNEL) == 0
        async with other.serving(counter()):
            await bus.wait_for_workers(CHANNEL)
            assert await bus.workers(CHANNEL) == 1


async def test_only_our_own_plain_layer_is_replaced_by_a_redis_layer(url: str, request: pytest.FixtureRequest) -> None:
    async with calling(url) as bus:
        assert isinstance(bus.session.layer, RedisLayer) == (request.node.callspec.params["alias"] == "ours")
