from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from servicebus import ChannelFull, ConfigurationError, NoWorkers, SendUnknown
from servicebus.api.middleware import Invocation
from servicebus.resilience import Hedge, idempotent

from ...support.policy_desk import (
    CHANNEL,
    Charge,
    Counting,
    Desk,
    Downstream,
    Look,
    Note,
    call,
    outcome_of,
)
from ...support.shop import calling
from ...support.timing import (
    MS,
    Stopwatch,
    allowed,
    eventually,
)


def generous(after: float | None = 20 * MS, **options: Any) -> Hedge:
    """One that can pay for every second copy."""
    hedge = Hedge(after, budget=1.0, **options)
    for _ in range(10):
        hedge._budget.earn()
    return hedge


async def test_a_second_copy_answers_when_the_first_is_slow(url: str) -> None:
    hedge, leaving, desk = generous(), Counting(), Desk(seconds=[30.0])
    async with calling(url, desk.service, middleware=[hedge, leaving]) as bus:
        with Stopwatch() as watch:
            assert await bus.call(CHANNEL, Look(number=4), timeout=20.0) == 4
        assert watch.seconds < allowed(1.0)
        await eventually(lambda: desk.running == 0)  # the copy that lost was cancelled, and with it its handler
        assert bus.pending == 0
    assert (desk.started["look"], len(leaving.seen)) == (2, 2)
    assert (hedge.counters.hedged, hedge.counters.won) == (1, 1)


async def test_the_queued_request_of_the_slower_copy_is_withdrawn(url: str) -> None:
    hedge, desk = generous(after=0.1), Desk(seconds=[0.3, 0.1])
    async with calling(url, desk.service, concurrency=1, middleware=[hedge]) as bus:
        first = asyncio.ensure_future(bus.call(CHANNEL, Look(), timeout=5.0))
        await eventually(lambda: desk.started["look"] == 1)
        between = asyncio.ensure_future(bus.call(CHANNEL, Note(), timeout=5.0))
        await asyncio.gather(first, between)
        assert await bus.call(CHANNEL, Note(number=9), timeout=5.0) == 9
    assert (hedge.counters.hedged, hedge.counters.won) == (1, 0)
    assert desk.started["look"] == 1


async def test_a_fast_answer_needs_no_second_copy(url: str) -> None:
    hedge, desk = generous(after=5.0), Desk()
    async with calling(url, desk.service, middleware=[hedge]) as bus:
        assert await asyncio.gather(*(bus.call(CHANNEL, Look(number=n)) for n in range(50))) == list(range(50))
    assert (hedge.counters.calls, hedge.counters.hedged, desk.started["look"]) == (50, 0, 50)


@pytest.mark.parametrize("message", [Note(), {"type": "look"}, Charge(amount=1)], ids=["plain", "untyped", "keyed"])
async def test_what_does_not_promise_to_be_idempotent_never_runs_twice(url: str, message: Any) -> None:
    hedge, desk = generous(after=1 * MS), Desk(seconds=[20 * MS] * 20)
    async with calling(url, desk.service, middleware=[hedge]) as bus:
        with idempotent("order 1"):
            await asyncio.gather(*(bus.call(CHANNEL, message) for _ in range(20)))
    assert sum(desk.started.values()) == 20
    assert hedge.counters.calls == hedge.counters.hedged == 0


async def test_sends_are_never_hedged() -> None:
    downstream = Downstream(20 * MS)
    await generous(after=1 * MS)(Invocation("send", CHANNEL, Look(), 1.0), downstream)
    assert downstream.sent == 1


async def test_second_copies_are_at_most_a_tenth_of_the_calls() -> None:
    hedge, downstream = Hedge(after=0.1 * MS), Downstream(*[2 * MS] * 500)
    for _ in range(10):
        await asyncio.gather(*(hedge(call(Look()), downstream) for _ in range(20)))
    assert 200 < downstream.sent <= 220
    assert hedge.counters.over_budget > 0


async def test_without_after_the_percentile_is_learnt_for_each_operation() -> None:
    hedge = generous(after=None)
    for _ in range(20):
        assert await hedge(call(Look()), Downstream(1 * MS)) == 1
    downstream = Downstream(30.0)
    assert await hedge(call(Look(), timeout=60.0), downstream) == 2
    assert hedge.counters.hedged == 1
    other = Downstream(20 * MS)
    assert await hedge(call(Look(), channel="other.request"), other) == 1


async def test_an_error_before_the_second_copy_is_raised_at_once() -> None:
    downstream = Downstream(NoWorkers(CHANNEL))
    with Stopwatch() as watch, pytest.raises(NoWorkers):
        await generous(after=30.0)(call(Look()), downstream)
    assert watch.seconds < allowed(1.0)
    assert downstream.sent == 1


def ending(first: Exception | None, second: Exception | None, *, sooner: int) -> Any:
    """A downstream whose two copies end so, one of them sooner, once both have been sent."""
    ends, sent, both_sent = [first, second], 0, asyncio.Event()

    async def call_next(invocation: Invocation) -> str:
        nonlocal sent
        sent += 1
        copy = sent
        if copy == 2:
            both_sent.set()
        await both_sent.wait()
        await asyncio.sleep(5 * MS if copy == sooner else 25 * MS)
        error = ends[copy - 1]
        if error is not None:
            raise error
        return "value"

    return call_next


async def test_a_value_wins_over_an_error_of_the_other_copy() -> None:
    assert await generous()(call(Look()), ending(NoWorkers("c"), None, sooner=1)) == "value"
    assert await generous()(call(Look()), ending(None, NoWorkers("c"), sooner=2)) == "value"


async def test_when_both_copies_failed_the_furthest_error_is_raised() -> None:
    for first, second, raised in [
        (NoWorkers("c"), ChannelFull("c", 1), NoWorkers),
        (SendUnknown("c"), NoWorkers("c"), SendUnknown),
        (NoWorkers("c"), SendUnknown("c"), SendUnknown),
    ]:
        error = await outcome_of(generous()(call(Look()), ending(first, second, sooner=2)))
        assert type(error) is raised


async def test_the_second_copy_has_the_time_that_is_left() -> None:
    downstream = Downstream(30.0)
    assert await generous()(call(Look(), timeout=2.0), downstream) == 2
    timeout = downstream.seen[1].timeout
    assert timeout is not None
    assert timeout <= 2.0 - 20 * MS
    late = Downstream(40 * MS)
    assert await generous()(call(Look(), timeout=10 * MS), late) == 1


async def test_cancelled_at_any_instant_no_copy_is_left() -> None:
    chance = random.Random(3)
    hedge, running = generous(after=1 * MS), 0

    async def call_next(invocation: Invocation) -> None:
        nonlocal running
        running += 1
        try:
            await asyncio.sleep(3 * MS)
        finally:
            running -= 1

    for _ in range(50):
        tasks = [asyncio.ensure_future(hedge(call(Look()), call_next)) for _ in range(10)]
        for task in tasks:
            asyncio.get_running_loop().call_later(chance.uniform(0, 5 * MS), task.cancel)
        await asyncio.wait(tasks)
        assert running == 0
    assert hedge.counters.hedged > 0


async def test_only_so_many_operations_are_remembered() -> None:
    hedge = generous(operations=5)
    for number in range(50):
        await hedge(call(Look(), channel=f"c{number}.request"), Downstream())
    assert len(hedge._latencies) == 5


@pytest.mark.parametrize("options", [{"after": 0}, {"budget": 2}, {"burst": 0}, {"operations": 0}], ids=str)
def test_numbers_that_make_no_sense_are_refused_when_the_policy_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Hedge(**options)
