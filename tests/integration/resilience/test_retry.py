from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from servicebus import (
    ChannelFull,
    Context,
    InvalidRequest,
    NoWorkers,
    Overloaded,
    SendUnknown,
    Service,
    ServiceBus,
    ServiceBusError,
    WorkerLost,
)
from servicebus.api.middleware import Endpoint, Invocation
from servicebus.resilience import Retry, idempotent
from servicebus.testing.checker import problems
from servicebus.testing.faulty_bus import FaultyBus
from servicebus.testing.history import Recorder

from ...support.policy_desk import (
    CHANNEL,
    Charge,
    Clock,
    Counting,
    Desk,
    Downstream,
    Look,
    Note,
    Receipt,
    call,
    outcome_of,
)
from ...support.shop import calling
from ...support.timing import (
    LAG,
    MS,
    Stopwatch,
    allowed,
)


def eager(**options: Any) -> Retry:
    """One that can pay for every retry, and hardly pauses."""
    retry = Retry(**{"backoff": 1 * MS, "budget": 1.0, **options})
    for _ in range(10):
        retry._budget.earn()
    return retry


@pytest.mark.row(16)
async def test_a_downstream_that_always_refuses_sees_at_most_a_tenth_more(url: str) -> None:
    seen: Counter[str] = Counter()

    async def count_and_refuse(request: Any, context: Context, call_next: Endpoint) -> Any:
        seen["worker"] += 1
        raise Overloaded(CHANNEL, "as ordered")

    retry, leaving, desk = Retry(backoff=1 * MS), Counting(), Desk(count_and_refuse)
    async with calling(url, desk.service, middleware=[retry, leaving]) as bus:
        for _ in range(10):
            outcomes = await asyncio.gather(*(outcome_of(bus.call(CHANNEL, Note(), timeout=5.0)) for _ in range(30)))
            assert {type(outcome) for outcome in outcomes} == {Overloaded}
    assert 300 < len(leaving.seen) <= 330
    assert seen["worker"] == len(leaving.seen)
    assert retry.counters.retries == len(leaving.seen) - 300
    assert retry.counters.over_budget > 0
    assert not desk.started


@pytest.mark.row(16)
async def test_nothing_is_sent_again_unless_it_certainly_did_not_run(url: str) -> None:
    """A caller that retries, and requests and replies that are lost, refused and late: each runs at most once."""
    service, recorder = Service("orders"), Recorder()

    @service.handler("place")
    async def place(message: dict[str, Any]) -> None:
        with recorder.running(message["id"]):
            await asyncio.sleep(2 * MS)

    async with FaultyBus(url) as worker, FaultyBus(url, middleware=[eager()]) as bus, worker.serving(service):

        async def one(number: int) -> None:
            bus.faults.refuse("orders.*", times=number % 3 == 0)
            bus.faults.drop("orders.*", times=number % 7 == 0)
            worker.faults.drop("*!", times=number % 5 == 0)
            with recorder.calling(f"o-{number}", timeout=0.2):
                await bus.call("orders.request", {"type": "place", "id": f"o-{number}"}, timeout=0.2)

        for start in range(0, 120, 20):
            await asyncio.gather(*(outcome_of(one(number)) for number in range(start, start + 20)))
    assert bus.faults.done["refuse"] >= 30
    assert worker.faults.done["drop"] >= 10
    assert problems(recorder.events, grace=allowed(0.1), late_start=LAG.worst + 0.1) == []


async def test_a_retry_that_finds_room_succeeds(url: str) -> None:
    retry, desk = eager(), Desk()
    async with ServiceBus(url) as worker, FaultyBus(url, middleware=[retry]) as bus, worker.serving(desk.service):
        bus.faults.refuse(CHANNEL, times=2)
        assert await bus.call(CHANNEL, Note(number=7)) == 7
    assert (retry.counters.retries, retry.counters.recovered) == (2, 1)
    assert desk.started["note"] == 1


@pytest.mark.parametrize("kind", ["send", "publish"])
async def test_what_wants_no_reply_is_retried_too(url: str, kind: str) -> None:
    retry, leaving = eager(), Counting()
    async with FaultyBus(url, middleware=[retry, leaving]) as bus:
        if kind == "send":
            bus.faults.refuse(CHANNEL, times=2)
            await bus.send(CHANNEL, {"type": "note"})
            assert len(leaving.seen) == 3
        else:
            await bus.publish("desk.opened", {})
            assert len(leaving.seen) == 1
    assert {invocation.timeout for invocation in leaving.seen} == {5.0}


@pytest.mark.parametrize("failure", [SendUnknown(CHANNEL), WorkerLost(CHANNEL)], ids=lambda one: type(one).__name__)
async def test_after_a_maybe_only_what_its_contract_allows_is_sent_again(failure: ServiceBusError) -> None:
    for message, sends in ((Note(), 1), ({"type": "look"}, 1), (Charge(amount=1), 1), (Look(), 2)):
        downstream = Downstream(failure)
        await outcome_of(eager()(call(message), downstream))
        assert downstream.sent == sends, message
    downstream = Downstream(failure)
    with idempotent("order 1"):
        await eager()(call(Charge(amount=1)), downstream)
    assert downstream.sent == 2


async def test_once_it_may_have_run_no_error_says_that_it_did_not() -> None:
    downstream = Downstream(SendUnknown(CHANNEL), NoWorkers(CHANNEL), InvalidRequest("bad"))
    with pytest.raises(SendUnknown) as raised:
        await eager()(call(Look()), downstream)
    assert raised.value.executed == "maybe"
    assert isinstance(raised.value.__cause__, InvalidRequest)


async def test_without_a_maybe_the_last_error_counts() -> None:
    retry = eager()
    with pytest.raises(NoWorkers):
        await retry(call(Note()), Downstream(ChannelFull(CHANNEL, 1), ChannelFull(CHANNEL, 1), NoWorkers(CHANNEL)))
    assert (retry.counters.retries, retry.counters.exhausted) == (2, 1)


async def test_an_attempt_has_the_time_that_is_left_and_none_begins_later() -> None:
    clock = Clock()
    retry = eager(clock=clock, attempts=9)
    seen: list[float | None] = []

    async def slow(invocation: Invocation) -> Any:
        seen.append(invocation.timeout)
        clock.now += 0.4
        raise NoWorkers(CHANNEL)

    with pytest.raises(NoWorkers):
        await retry(call(Note(), timeout=1.0), slow)
    assert seen == [1.0, pytest.approx(0.6), pytest.approx(0.2)]
    assert retry.counters.out_of_time == 1


async def test_a_call_that_names_no_timeout_has_that_of_its_bus(url: str) -> None:
    retry = eager(attempts=1000, backoff=20 * MS, longest=20 * MS, burst=1000)
    for _ in range(1000):
        retry._budget.earn()
    async with ServiceBus(url, middleware=[retry], timeout=0.3) as bus:
        with Stopwatch() as watch, pytest.raises(NoWorkers):
            await bus.call("nobody.request", {"type": "x"})
    assert watch.seconds < allowed(0.4)
    assert retry.counters.retries > 2


async def test_with_retries_a_call_still_ends_at_its_deadline(url: str) -> None:
    retry = eager(attempts=1000, backoff=20 * MS, longest=20 * MS, burst=1000)
    for _ in range(1000):
        retry._budget.earn()
    async with ServiceBus(url, middleware=[retry]) as bus:
        with Stopwatch() as watch, pytest.raises(NoWorkers):
            await bus.call("nobody.request", {"type": "x"}, timeout=0.3)
    assert retry.counters.retries > 2
    assert watch.seconds < allowed(0.4)


async def test_a_pause_that_took_too_long_is_followed_by_no_attempt() -> None:
    clock, downstream = Clock(), Downstream(NoWorkers(CHANNEL))
    retry = eager(clock=clock, backoff=20 * MS, chance=lambda: 1.0)
    asyncio.get_running_loop().call_later(5 * MS, setattr, clock, "now", clock.now + 2.0)
    with pytest.raises(NoWorkers):
        await retry(call(Note(), timeout=1.0), downstream)
    assert (downstream.sent, retry.counters.out_of_time, retry.counters.retries) == (1, 1, 0)


async def test_inside_a_handler_no_pause_outlasts_the_handlers_own_deadline(url: str) -> None:
    front, ended = Service("front"), asyncio.get_running_loop().create_future()
    retry = eager(backoff=5.0, longest=5.0, chance=lambda: 0.9)

    @front.handler("ask")
    async def ask(message: dict[str, Any], context: Context) -> None:
        ended.set_result(type(await outcome_of(context.bus.call("nobody.request", {"type": "x"}, timeout=30.0))))

    async with ServiceBus(url, middleware=[retry]) as worker, ServiceBus(url) as bus, worker.serving(front):
        await bus.call("front.request", {"type": "ask"}, timeout=2.0)
    assert await ended is NoWorkers
    assert retry.counters.out_of_time == 1


async def test_cancelling_a_pause_ends_the_call_and_sends_nothing_more() -> None:
    downstream = Downstream(NoWorkers(CHANNEL))
    task = asyncio.ensure_future(eager(backoff=60.0, longest=60.0, chance=lambda: 0.5)(call(Note(), 99.0), downstream))
    await asyncio.sleep(10 * MS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert downstream.sent == 1


async def test_errors_that_are_not_of_the_bus_are_not_retried() -> None:
    downstream = Downstream(ValueError("mine"))
    with pytest.raises(ValueError, match="mine"):
        await eager()(call(Look()), downstream)
    assert downstream.sent == 1


async def test_a_key_travels_with_every_attempt(url: str) -> None:
    keys: list[str | None] = []

    async def note_key(request: Any, context: Context, call_next: Endpoint) -> Any:
        keys.append(context.headers.get("idempotency_key"))
        if len(keys) < 3:
            raise Overloaded(CHANNEL, "as ordered")
        return await call_next(request, context)

    async with calling(url, Desk(note_key).service, middleware=[eager()]) as bus:
        with idempotent("order 1"):
            assert await bus.call(CHANNEL, Charge(amount=5)) == Receipt(1, 5)
    assert keys == ["order 1"] * 3
