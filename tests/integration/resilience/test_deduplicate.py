from __future__ import annotations

import asyncio
from typing import Any

import pytest

from servicebus import (
    Context,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    RemoteError,
    Request,
    Service,
    ServiceBus,
)
from servicebus.api.middleware import Endpoint
from servicebus.resilience import Claim, Deduplicate, MemoryStore, Outcome, Retry, idempotent
from servicebus.testing.faulty_bus import FaultyBus

from ...support.policy_desk import (
    CHANNEL,
    Charge,
    Clock,
    Declined,
    Desk,
    Look,
    Note,
    Receipt,
    outcome_of,
)
from ...support.shop import calling
from ...support.timing import MS, eventually


async def charge(bus: ServiceBus, key: str, amount: int = 5, seconds: float = 0.0, timeout: float = 5.0) -> Any:
    with idempotent(key):
        return await bus.call(CHANNEL, Charge(amount=amount, seconds=seconds), timeout=timeout)


async def test_the_same_key_returns_the_first_value_and_runs_nothing(url: str) -> None:
    once = Deduplicate(MemoryStore())
    desk = Desk(once)
    async with calling(url, desk.service) as bus:
        assert [await charge(bus, key) for key in ("a", "a", "b", "a")] == [
            *(Receipt(1, 5), Receipt(1, 5), Receipt(2, 5), Receipt(1, 5))
        ]
    assert desk.started["charge"] == 2
    assert (once.counters.run, once.counters.repeated) == (2, 2)


async def test_the_same_key_returns_the_first_error_and_runs_nothing(url: str) -> None:
    desk = Desk(Deduplicate(MemoryStore()))
    async with calling(url, desk.service) as bus:
        for _ in range(3):
            with pytest.raises(Declined) as raised:
                await charge(bus, "a", amount=2000)
            assert (raised.value.limit, raised.value.executed) == (1000, "yes")
    assert desk.started["charge"] == 1


async def test_those_who_come_while_the_first_runs_wait_for_it(url: str) -> None:
    desk = Desk(Deduplicate(MemoryStore()))
    async with calling(url, desk.service) as bus:
        replies = await asyncio.gather(*(charge(bus, "a", seconds=50 * MS) for _ in range(20)))
    assert replies == [Receipt(1, 5)] * 20
    assert desk.started["charge"] == 1


async def test_another_caller_operation_or_key_is_another_request(url: str) -> None:
    desk = Desk(Deduplicate(MemoryStore()))
    async with calling(url, desk.service) as bus, ServiceBus(url, service="other") as other:
        assert [(await charge(one, key)).number for one, key in ((bus, "a"), (other, "a"), (bus, "b"))] == [1, 2, 3]


async def test_what_is_not_keyed_or_has_no_key_runs_every_time(url: str) -> None:
    desk = Desk(Deduplicate(MemoryStore()))
    async with calling(url, desk.service) as bus:
        for _ in range(2):
            await bus.call(CHANNEL, Charge(amount=1))
            with idempotent("a"):
                await bus.call(CHANNEL, Look())
                await bus.call(CHANNEL, Note())
    assert desk.started == {"charge": 2, "look": 2, "note": 2}


async def test_the_same_key_with_another_request_is_refused_and_not_executed(url: str) -> None:
    once = Deduplicate(MemoryStore())
    desk = Desk(once)
    async with calling(url, desk.service) as bus:
        await charge(bus, "a", amount=5)
        with pytest.raises(InvalidRequest, match="another request") as raised:
            await charge(bus, "a", amount=6)
        assert (raised.value.executed, raised.value.field) == ("no", "headers.idempotency_key")
    assert (desk.started["charge"], once.counters.mismatched) == (1, 1)


async def test_what_certainly_did_not_run_is_not_remembered(url: str) -> None:
    refusals = 2

    async def refuse_twice(request: Any, context: Context, call_next: Endpoint) -> Any:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise Overloaded(CHANNEL, "as ordered")
        return await call_next(request, context)

    store = MemoryStore()
    desk = Desk(Deduplicate(store), refuse_twice)
    async with calling(url, desk.service) as bus:
        kinds = [type(await outcome_of(charge(bus, "a"))) for _ in range(4)]
    assert kinds == [Overloaded, Overloaded, Receipt, Receipt]
    assert (desk.started["charge"], len(store)) == (1, 1)


async def test_after_a_refusal_one_repetition_runs_and_the_others_wait(url: str) -> None:
    refuse = True

    async def refuse_first(request: Any, context: Context, call_next: Endpoint) -> Any:
        nonlocal refuse
        if refuse:
            refuse = False
            await asyncio.sleep(20 * MS)
            raise Overloaded(CHANNEL, "as ordered")
        return await call_next(request, context)

    desk = Desk(Deduplicate(MemoryStore()), refuse_first)
    async with calling(url, desk.service) as bus:
        outcomes = await asyncio.gather(*(outcome_of(charge(bus, "a", seconds=10 * MS)) for _ in range(10)))
    assert [type(outcome) for outcome in outcomes].count(Overloaded) == 1
    assert outcomes.count(Receipt(1, 5)) == 9
    assert desk.started["charge"] == 1


async def test_a_request_that_was_cut_short_is_not_run_again(url: str) -> None:
    desk = Desk(Deduplicate(MemoryStore()))
    async with calling(url, desk.service) as bus:
        first = asyncio.ensure_future(charge(bus, "a", seconds=60.0, timeout=90.0))
        await eventually(lambda: desk.started["charge"] == 1)
        waiting = asyncio.ensure_future(outcome_of(charge(bus, "a", seconds=60.0, timeout=90.0)))
        await asyncio.sleep(20 * MS)
        first.cancel()
        later = await waiting, await outcome_of(charge(bus, "a", seconds=60.0))
    assert [(type(error), error.code, error.executed) for error in later] == [(RemoteError, "interrupted", "yes")] * 2
    assert desk.started["charge"] == 1


async def test_a_repetition_that_waits_until_its_deadline_may_have_run(url: str) -> None:
    desk = Desk(Deduplicate(MemoryStore()))
    async with calling(url, desk.service) as bus:
        first = asyncio.ensure_future(charge(bus, "a", seconds=0.4))
        await eventually(lambda: desk.started["charge"] == 1)
        error = await outcome_of(charge(bus, "a", seconds=0.4, timeout=0.1))
        assert await first == Receipt(1, 5)
    # Its own word may just arrive before the deadline does.
    assert isinstance(error, DeadlineExceeded | RemoteError)
    assert error.executed != "no"
    assert desk.started["charge"] == 1


async def test_a_lost_reply_is_fetched_by_the_same_key(url: str) -> None:
    desk = Desk(Deduplicate(MemoryStore()))
    async with FaultyBus(url) as worker, ServiceBus(url, middleware=[Retry()]) as bus, worker.serving(desk.service):
        worker.faults.drop("*!")
        with pytest.raises(DeadlineExceeded) as raised:
            await charge(bus, "a", timeout=0.1)
        assert raised.value.executed == "maybe"
        assert await charge(bus, "a") == Receipt(1, 5)
    assert desk.started["charge"] == 1


async def test_nested_calls_do_not_inherit_the_key(url: str) -> None:
    desk, front = Desk(Deduplicate(MemoryStore())), Service("front", middleware=[Deduplicate(MemoryStore())])

    @front.handler
    async def charge_twice(request: Charge, context: Context) -> Receipt:
        await context.bus.call(CHANNEL, request)
        return await context.bus.call(CHANNEL, request)

    async with calling(url, desk.service, front) as bus:
        for _ in range(2):
            with idempotent("a"):
                assert await bus.call("front.request", Charge(amount=5)) == Receipt(2, 5)
    assert desk.started["charge"] == 2


class Odd(Request[Any], tag="odd", idempotent="keyed"):
    encodable: bool


async def test_thread_handlers_and_results_that_cannot_be_encoded_are_kept(url: str) -> None:
    runs: list[int] = []
    service = Service("desk", middleware=[Deduplicate(MemoryStore())])

    @service.handler
    def odd(request: Odd) -> Any:
        runs.append(1)
        return {"n": len(runs)} if request.encodable else object()

    async with calling(url, service) as bus:
        with idempotent("a"):
            assert [await bus.call(CHANNEL, Odd(encodable=True)) for _ in range(2)] == [{"n": 1}] * 2
        with idempotent("b"):
            for _ in range(2):
                with pytest.raises(RemoteError) as raised:
                    await bus.call(CHANNEL, Odd(encodable=False))
                assert raised.value.executed == "yes"
    assert len(runs) == 2


CLAIM = Claim("web", "charge", "a", b"digest")


def other(key: str) -> Claim:
    return CLAIM._replace(key=key)


def outcome(size: int = 1) -> Outcome:
    return Outcome(b"digest", b"x" * size)


async def test_an_outcome_is_forgotten_after_its_lifetime_and_not_before() -> None:
    clock = Clock()
    store = MemoryStore(lifetime=10.0, clock=clock)
    assert await store.begin(CLAIM) is None
    clock.now += 1000.0  # what runs is not forgotten, however long
    await store.finish(CLAIM, outcome())
    clock.now += 9.9
    assert await store.begin(CLAIM) == outcome()
    clock.now += 0.1
    assert await store.begin(CLAIM) is None
    await store.abandon(CLAIM)
    assert len(store) == 0


async def test_a_full_store_refuses_rather_than_forgets() -> None:
    clock = Clock()
    store = MemoryStore(limit=2, lifetime=10.0, clock=clock)
    assert await store.begin(other("a")) is None
    await store.finish(other("a"), outcome())
    assert await store.begin(other("b")) is None
    with pytest.raises(Overloaded, match="2 outcomes are remembered"):
        await store.begin(other("c"))
    assert await store.begin(other("a")) == outcome()
    clock.now += 10.0
    assert await store.begin(other("c")) is None


async def test_outcomes_are_bounded_in_bytes_too() -> None:
    clock = Clock()
    store = MemoryStore(size=100, lifetime=10.0, clock=clock)
    assert await store.begin(other("a")) is None
    await store.finish(other("a"), outcome(150))
    with pytest.raises(Overloaded):
        await store.begin(other("b"))
    clock.now += 10.0
    assert await store.begin(other("b")) is None


async def test_a_cancelled_repetition_leaves_the_outcome_to_the_others() -> None:
    store = MemoryStore()
    assert await store.begin(CLAIM) is None
    waiting = [asyncio.ensure_future(store.begin(CLAIM)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.sleep(0)
    await store.finish(CLAIM, outcome())
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert ended[0] == ended[2] == outcome()
    assert isinstance(ended[1], asyncio.CancelledError)
