"""All policies at once, as docs/topics/resilience.md stacks them."""

from __future__ import annotations

import asyncio
import random
import time
from itertools import count
from typing import Any

import pytest

from servicebus import ServiceBus, ServiceBusError
from servicebus.api.middleware import BusMiddleware, Invocation
from servicebus.resilience import Bulkhead, CircuitBreaker, Deduplicate, Hedge, MemoryStore, Retry, idempotent
from servicebus.resilience.bulkhead import ExpiredInLine
from servicebus.testing.checker import problems
from servicebus.testing.faulty_bus import FaultyBus
from servicebus.testing.history import Recorder

from ...support.policy_desk import (
    CHANNEL,
    Charge,
    Counting,
    Desk,
    Look,
    Note,
    Receipt,
    outcome_of,
)
from ...support.shop import calling
from ...support.timing import LONG, MS, allowed, eventually


class Stack:
    """Every policy, each ready to act."""

    def __init__(self, limit: int = 8, queue: int = 64) -> None:
        self.retry = Retry(attempts=5, backoff=5 * MS, longest=20 * MS, budget=1.0, burst=100)
        self.hedge = Hedge(after=5 * MS, budget=1.0, burst=100)
        self.breaker = CircuitBreaker(failures=15, of=20, rest=20 * MS)
        self.bulkhead = Bulkhead(limit, queue)
        self.leaving = Counting()

    @property
    def middleware(self) -> list[BusMiddleware]:
        return [self.retry, self.hedge, self.breaker, self.bulkhead, self.leaving]

    def is_at_rest(self) -> bool:
        circuits = self.breaker._circuits._values.values()
        return not self.bulkhead._gates and not any(circuit._probing for circuit in circuits)


REQUESTS: list[Any] = [Look(), Note(), {"type": "note"}]


async def test_every_call_ends_at_its_deadline_whatever_the_downstream_does(url: str) -> None:
    """Slow handlers, a full channel, lost requests and lost replies: one outcome each, by the deadline and 0.1 s."""
    chance, stack = random.Random(11), Stack()
    recorder, desk = Recorder(), Desk(seconds=[chance.choice([0, 0, 0.01, 0.2]) for _ in range(10_000)])
    async with FaultyBus(url) as worker, FaultyBus(url, middleware=stack.middleware) as bus:
        async with worker.serving(desk.service, drain=0.5):

            async def one(number: int) -> None:
                bus.faults.refuse("desk.*", times=number % 5 == 0)
                bus.faults.drop("desk.*", times=number % 13 == 0)
                worker.faults.drop("*!", times=number % 11 == 0)
                timeout = chance.choice([0.05, 0.15, 0.3])
                with recorder.calling(f"o-{number}", timeout=timeout, reply=False):
                    await bus.call(CHANNEL, REQUESTS[number % 3], timeout=timeout)

            for start in range(0, 200, 40):
                await asyncio.gather(*(outcome_of(one(number)) for number in range(start, start + 40)))
    assert problems(recorder.events, grace=allowed(0.1)) == []
    assert {event.kind for event in recorder.events} >= {"invoke", "ok", "maybe", "fail"}
    assert stack.retry.counters.retries
    assert stack.hedge.counters.hedged
    assert stack.bulkhead.counters.waited
    assert stack.is_at_rest()


async def test_calls_cancelled_at_any_instant_leave_nothing_behind(url: str) -> None:
    chance, stack = random.Random(5), Stack(limit=4, queue=4)
    shortest, longest = 0.0, 5 * MS
    desk = Desk(Deduplicate(MemoryStore()), seconds=(chance.uniform(shortest, longest) for _ in count()))
    async with calling(url, desk.service, middleware=stack.middleware) as bus:

        async def keyed(number: int) -> Any:
            with idempotent(f"key {number}"):
                return await bus.call(CHANNEL, Charge(amount=number, seconds=2 * MS), timeout=0.5)

        for round_ in range(30):
            tasks = [asyncio.ensure_future(bus.call(CHANNEL, REQUESTS[n % 3], timeout=0.5)) for n in range(12)]
            tasks += [asyncio.ensure_future(keyed(round_ * 10 + n)) for n in range(4)]
            for task in tasks:
                asyncio.get_running_loop().call_later(chance.uniform(0, 12 * MS), task.cancel)
            await asyncio.wait(tasks)
            for task in tasks:
                assert task.cancelled() or isinstance(task.exception(), ServiceBusError | None)
            assert stack.is_at_rest()
        # On a busy machine all of those may have been cancelled before their second copies were due. This one is not.
        shortest = longest = LONG
        hedged = stack.hedge.counters.hedged
        slow = asyncio.ensure_future(bus.call(CHANNEL, Look(), timeout=LONG))
        await eventually(lambda: stack.hedge.counters.hedged > hedged)
        slow.cancel()
        await asyncio.wait([slow])
        assert slow.cancelled()
        assert stack.is_at_rest()
        await eventually(lambda: desk.running == 0)
    assert bus.pending == 0


async def test_while_nothing_fails_all_of_them_together_change_nothing(url: str) -> None:
    stack, desk = Stack(limit=100), Desk()
    stack.hedge = Hedge()
    async with calling(url, desk.service, middleware=stack.middleware) as bus:
        replies = await asyncio.gather(*(bus.call(CHANNEL, Note(number=n)) for n in range(80)))
    assert replies == list(range(80))
    assert len(stack.leaving.seen) == 80
    assert stack.leaving.seen[0] == Invocation("call", CHANNEL, Note(number=0), 5.0)


async def test_a_downstream_that_is_gone_is_hardly_asked(url: str) -> None:
    stack = Stack()
    stack.retry = Retry(backoff=1 * MS)
    async with ServiceBus(url, middleware=stack.middleware) as bus:
        for _ in range(10):
            await asyncio.gather(*(outcome_of(bus.call(CHANNEL, Note(), timeout=1.0)) for _ in range(20)))
    assert stack.retry.counters.calls == 200
    assert len(stack.leaving.seen) < 100
    assert stack.breaker.counters.refused > 100


@pytest.mark.parametrize("crash", [False, True], ids=["drop", "kill"])
async def test_a_keyed_operation_runs_once_however_often_it_is_sent(url: str, crash: bool) -> None:
    """Replies are lost, or the worker is stopped with its handlers; each caller tries for as long as it needs."""
    store = MemoryStore()
    desk = Desk(Deduplicate(store))
    retry = Retry(attempts=9, backoff=2 * MS, budget=1.0)
    async with FaultyBus(url) as worker, ServiceBus(url, service="web", middleware=[retry]) as bus:

        async def charge(number: int) -> Any:
            until, outcome = time.monotonic() + 20.0, None
            while not isinstance(outcome, Receipt) and time.monotonic() < until:
                with idempotent(f"order {number}"):
                    request = Charge(amount=number, seconds=5 * MS)
                    outcome = await outcome_of(bus.call(CHANNEL, request, timeout=0.2))
                if getattr(outcome, "code", "") == "interrupted":
                    break
                await asyncio.sleep(2 * MS)
            return outcome

        async with asyncio.TaskGroup() as group:
            charges = [group.create_task(charge(number)) for number in range(30)]
            for _ in range(3):
                async with worker.serving(desk.service, drain=0.001 * MS if crash else 5.0):
                    worker.faults.drop("*!", times=5)
                    await asyncio.sleep(30 * MS)
            async with worker.serving(desk.service):
                await asyncio.wait(charges)
    outcomes = [task.result() for task in charges]
    assert desk.started["charge"] == 30
    receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    assert len({receipt.number for receipt in receipts}) == len(receipts)
    assert len(receipts) == 30 or (crash and len(receipts) > 0)


async def test_calls_that_expire_in_the_line_of_this_process_open_no_circuit(url: str) -> None:
    """The channel is healthy; the bulkhead holds its place for one long call."""
    breaker, bulkhead = CircuitBreaker(failures=2, of=4), Bulkhead(1, queue=64)
    desk = Desk(seconds=[1.0])
    async with calling(url, desk.service, middleware=[breaker, bulkhead]) as bus:
        first = asyncio.ensure_future(bus.call(CHANNEL, Note(), timeout=LONG))
        await eventually(lambda: desk.started["note"] == 1)
        waiting = [bus.call(CHANNEL, Note(), timeout=50 * MS) for _ in range(10)]
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(error) for error in errors} == {ExpiredInLine}
        assert {error.executed for error in errors if isinstance(error, ServiceBusError)} == {"no"}
        await first
        assert (breaker.counters.opened, breaker.state(CHANNEL)) == (0, "closed")
        await bus.call(CHANNEL, Note(), timeout=LONG)
