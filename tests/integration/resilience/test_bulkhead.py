from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from servicebus import ConfigurationError, DeadlineExceeded, InvalidRequest, Overloaded
from servicebus.api.middleware import Invocation
from servicebus.errors import Stage
from servicebus.resilience import Bulkhead, BulkheadFull
from servicebus.resilience.bulkhead import ExpiredInLine

from ...support.policy_desk import (
    CHANNEL,
    Counting,
    Desk,
    Downstream,
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


class Inside:
    """A downstream that knows how many are in it."""

    def __init__(self, seconds: float = 2 * MS) -> None:
        self.seconds, self.now, self.most = seconds, 0, 0
        self.order: list[int] = []

    async def __call__(self, invocation: Invocation) -> Any:
        self.now += 1
        self.most = max(self.most, self.now)
        self.order.append(invocation.message.number)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.now -= 1


async def test_no_more_than_the_limit_are_in_flight_and_the_rest_are_refused(url: str) -> None:
    bulkhead, desk = Bulkhead(3), Desk(seconds=[20 * MS] * 10)
    async with calling(url, desk.service, middleware=[bulkhead]) as bus:
        outcomes = await asyncio.gather(*(outcome_of(bus.call(CHANNEL, Note())) for _ in range(10)))
    refused = [outcome for outcome in outcomes if isinstance(outcome, BulkheadFull)]
    assert (len(refused), desk.started["note"], bulkhead.counters.refused) == (7, 3, 7)
    assert all(isinstance(error, Overloaded) and error.executed == "no" and error.retryable for error in refused)
    assert bulkhead.in_flight(CHANNEL) == 0
    assert not bulkhead._gates


async def test_those_who_wait_come_in_turn() -> None:
    bulkhead, inside = Bulkhead(2, queue=18), Inside()
    await asyncio.gather(*(bulkhead(call(Note(number=n)), inside) for n in range(20)))
    assert inside.most == 2
    assert inside.order == list(range(20))
    assert bulkhead.counters.waited == 18
    assert not bulkhead._gates


async def test_each_channel_has_its_own_places_and_sends_need_none() -> None:
    bulkhead = Bulkhead(1)
    holder = asyncio.ensure_future(bulkhead(call(Note()), Downstream(60.0)))
    await asyncio.sleep(0)
    assert bulkhead.in_flight(CHANNEL) == 1
    assert await bulkhead(call(Note(), channel="other.request"), Downstream()) == 1
    assert await bulkhead(Invocation("send", CHANNEL, {}, 1.0), Downstream()) == 1
    holder.cancel()
    await asyncio.wait([holder])
    assert not bulkhead._gates


async def test_no_call_waits_for_a_place_beyond_its_deadline(url: str) -> None:
    bulkhead, leaving, desk = Bulkhead(1, queue=1), Counting(), Desk(seconds=[0.5])
    async with calling(url, desk.service, middleware=[bulkhead, leaving]) as bus:
        first = asyncio.ensure_future(bus.call(CHANNEL, Note(), timeout=5.0))
        await eventually(lambda: desk.started["note"] == 1)
        with Stopwatch() as watch, pytest.raises(DeadlineExceeded) as raised:
            await bus.call(CHANNEL, Note(), timeout=0.1)
        await first
    assert (raised.value.stage, raised.value.executed) == ("queued", "no")
    assert watch.seconds < allowed(0.2)
    assert (len(leaving.seen), bulkhead.counters.expired) == (1, 1)


async def test_who_waited_has_the_rest_of_its_time() -> None:
    bulkhead, downstream = Bulkhead(1, queue=1), Downstream(50 * MS)
    await asyncio.gather(bulkhead(call(Note(), 5.0), downstream), bulkhead(call(Note(), 5.0), downstream))
    first, second = (invocation.timeout for invocation in downstream.seen)
    assert first == 5.0
    assert second is not None
    assert 4.0 < second < 5.0 - 40 * MS


async def test_a_message_without_a_type_stays_invalid_after_its_wait() -> None:
    bulkhead = Bulkhead(1, queue=1)
    holder = asyncio.ensure_future(bulkhead(call(Note()), Downstream(60.0)))
    await asyncio.sleep(0)
    with pytest.raises(InvalidRequest):
        await bulkhead(call({}, timeout=10 * MS), Downstream())
    holder.cancel()
    await asyncio.wait([holder])
    assert not bulkhead._gates


async def test_cancelled_at_any_instant_nobody_takes_a_place_along() -> None:
    chance = random.Random(7)
    bulkhead, inside = Bulkhead(3, queue=10), Inside(1 * MS)
    for _ in range(40):
        tasks = [asyncio.ensure_future(bulkhead(call(Note(number=n), 0.5), inside)) for n in range(13)]
        for task in tasks:
            asyncio.get_running_loop().call_later(chance.uniform(0, 6 * MS), task.cancel)
        await asyncio.wait(tasks)
        for task in tasks:
            assert task.cancelled() or task.exception() is None
        assert not bulkhead._gates
        assert inside.now == 0
    assert inside.most == 3
    assert inside.order


async def test_one_that_is_cancelled_as_it_gets_its_place_passes_it_on() -> None:
    bulkhead, inside = Bulkhead(1, queue=2), Inside(0)
    release = asyncio.Event()

    async def hold(_: Invocation) -> None:
        await release.wait()

    async def hold_and_cancel() -> None:
        await bulkhead(call(Note()), hold)
        unlucky.cancel()  # whose place it is by now, and who has not run since

    holder = asyncio.ensure_future(hold_and_cancel())
    await asyncio.sleep(0)
    unlucky = asyncio.ensure_future(bulkhead(call(Note(number=1)), inside))
    next_one = asyncio.ensure_future(bulkhead(call(Note(number=2)), inside))
    await asyncio.sleep(0)
    release.set()
    await asyncio.wait([holder, unlucky, next_one], timeout=5.0)
    assert unlucky.cancelled()
    assert inside.order == [2]
    assert not bulkhead._gates


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": 1, "queue": -1}], ids=str)
def test_numbers_that_make_no_sense_are_refused_when_the_policy_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Bulkhead(**options)


@pytest.mark.parametrize("stage", ["queued", "dispatched"])
async def test_who_waited_for_most_of_its_time_blames_the_line(stage: Stage) -> None:
    bulkhead = Bulkhead(1, queue=1)

    async def late(invocation: Invocation) -> None:
        raise DeadlineExceeded(CHANNEL, "note", stage)

    with pytest.raises(DeadlineExceeded) as unwaited:
        await bulkhead(call(Note(), 1.0), late)
    assert type(unwaited.value) is DeadlineExceeded
    holder = asyncio.ensure_future(bulkhead(call(Note(), 5.0), Downstream(200 * MS)))
    await eventually(lambda: bulkhead.in_flight(CHANNEL) == 1)
    with pytest.raises(ExpiredInLine) as waited:
        await bulkhead(call(Note(), 250 * MS), late)
    await holder
    assert waited.value.stage == stage
