from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest

from servicebus import (
    ChannelFull,
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequest,
    NoWorkers,
    Overloaded,
    RemoteError,
    SendUnknown,
    ServiceBus,
    ServiceBusError,
    Unavailable,
    WorkerLost,
)
from servicebus.api.middleware import Invocation
from servicebus.resilience import BulkheadFull, CircuitBreaker, CircuitOpen
from servicebus.resilience.circuit import State

from ...support.policy_desk import (
    CHANNEL,
    Clock,
    Declined,
    Desk,
    Downstream,
    Note,
    call,
    outcome_of,
)


def breaker(clock: Clock | None = None, **options: Any) -> CircuitBreaker:
    return CircuitBreaker(**{"failures": 3, "of": 5, "rest": 5.0, "clock": clock or Clock(), **options})


async def fed(policy: CircuitBreaker, *errors: Exception, seconds: float = 0.1) -> None:
    clock = policy._clock
    for error in errors:

        async def fail(_: Invocation, error: Exception = error) -> None:
            if isinstance(clock, Clock):
                clock.now += seconds
            raise error

        await outcome_of(policy(call(Note()), fail))


UNWELL = [
    Unavailable("down"),
    DeadlineExceeded(CHANNEL, "note", "dispatched"),
    WorkerLost(CHANNEL),
    SendUnknown(CHANNEL),
    Overloaded(CHANNEL, "full"),
    NoWorkers(CHANNEL),
]
OF_NO_CONSEQUENCE = [
    RemoteError("internal"),
    Declined(limit=3),
    InvalidRequest("bad"),
    ChannelFull(CHANNEL, 1),
    BulkheadFull(CHANNEL, "here"),
    CircuitOpen(CHANNEL, 1.0),
    ValueError("of another middleware"),
]


@pytest.mark.parametrize("error", UNWELL, ids=lambda error: type(error).__name__)
async def test_failures_of_the_channel_open_the_circuit(error: ServiceBusError) -> None:
    policy, downstream = breaker(), Downstream()
    await fed(policy, error, error, error)
    with pytest.raises(CircuitOpen) as raised:
        await policy(call(Note()), downstream)
    assert (raised.value.executed, raised.value.retryable, raised.value.retry_after) == ("no", True, 5.0)
    assert (policy.state(CHANNEL), downstream.sent) == (State.OPEN, 0)
    assert (policy.counters.opened, policy.counters.refused) == (1, 1)


@pytest.mark.parametrize("error", OF_NO_CONSEQUENCE, ids=lambda error: type(error).__name__)
async def test_errors_of_handlers_and_callers_do_not_open_the_circuit(error: Exception) -> None:
    policy = breaker()
    await fed(policy, *[error] * 10)
    assert policy.state(CHANNEL) is State.CLOSED


async def test_a_deadline_that_passed_before_the_call_is_not_counted() -> None:
    policy = breaker()
    await fed(policy, *[DeadlineExceeded(CHANNEL, "note", "queued")] * 10, seconds=0.0)
    assert policy.state(CHANNEL) is State.CLOSED


async def test_what_a_handler_raises_proves_that_the_channel_works() -> None:
    clock = Clock()
    policy = breaker(clock)
    await fed(policy, *[NoWorkers(CHANNEL)] * 3)
    clock.now += 5.0
    await fed(policy, Declined(limit=1))
    assert policy.state(CHANNEL) is State.CLOSED
    assert policy.counters.closed == 1


async def test_each_channel_has_its_own_circuit_and_sends_use_it_too() -> None:
    policy, downstream = breaker(), Downstream()
    await fed(policy, *[NoWorkers(CHANNEL)] * 3)
    await policy(call(Note(), channel="other.request"), downstream)
    await policy(Invocation("publish", CHANNEL, {}, 1.0), downstream)
    with pytest.raises(CircuitOpen):
        await policy(Invocation("send", CHANNEL, {"type": "note"}, 1.0), downstream)
    assert downstream.sent == 2


async def test_a_cancelled_probe_gives_its_place_back() -> None:
    clock = Clock()
    policy = breaker(clock)
    await fed(policy, *[NoWorkers(CHANNEL)] * 3)
    clock.now += 5.0
    probe = asyncio.ensure_future(policy(call(Note()), Downstream(60.0)))
    await asyncio.sleep(0)
    with pytest.raises(CircuitOpen) as raised:
        await policy(call(Note()), Downstream())
    assert raised.value.retry_after == 0.0
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert await policy(call(Note()), Downstream()) == 1
    assert policy.state(CHANNEL) is State.CLOSED


async def test_only_so_many_channels_are_remembered() -> None:
    policy = breaker(channels=10)
    for number in range(100):
        await policy(call(Note(), channel=f"c{number}.request"), Downstream())
    assert len(policy._circuits) == 10
    assert policy.counters.forgotten == 90


async def test_a_service_that_comes_back_is_found_again(url: str) -> None:
    clock, desk = Clock(), Desk()
    policy = CircuitBreaker(failures=2, of=4, rest=5.0, clock=clock)
    async with ServiceBus(url) as worker, ServiceBus(url, middleware=[policy]) as bus:
        kinds = [type(await outcome_of(bus.call(CHANNEL, Note()))) for _ in range(4)]
        assert kinds == [NoWorkers, NoWorkers, CircuitOpen, CircuitOpen]
        async with worker.serving(desk.service):
            clock.now += 5.0
            assert await bus.call(CHANNEL, Note(number=3)) == 3
            assert policy.state(CHANNEL) is State.CLOSED


def test_an_open_circuit_says_which_and_for_how_long_and_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(CircuitOpen(CHANNEL, 2.5)))
    assert (error.channel, error.retry_after, error.retryable) == (CHANNEL, 2.5, True)
    assert str(error) == (
        "the circuit to 'desk.request' is open: it failed too often; the next try is let through in 2.5 s"
    )


def test_more_failures_than_outcomes_are_refused_when_the_policy_is_made() -> None:
    with pytest.raises(ConfigurationError, match="of is 5"):
        CircuitBreaker(failures=6, of=5)
