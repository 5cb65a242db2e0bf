"""The calls of a saga: what they repeat, and when they stop."""

from __future__ import annotations

import asyncio
from typing import cast

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
    Unauthorized,
    Unavailable,
    UnknownOperation,
    WorkerLost,
)
from services.inventory.contract import CHANNEL, Commit, Reservation
from services.orders.calls import Caller
from services.orders.contract import Reconcile, Unfinished

REQUEST = Commit(order_id="o-1")
REPLY = Reservation(order_id="o-1", status="committed", units=1)

PASSING = [
    ChannelFull("c", 100),
    DeadlineExceeded("c", "o", "queued"),
    DeadlineExceeded("c", "o", "dispatched"),
    NoWorkers("c"),
    Overloaded("c", "busy"),
    SendUnknown("c"),
    Unavailable("down"),
    Unfinished(id="o-1", status="reserved", cause="no pricing"),
    WorkerLost("c"),
    UnknownOperation("o"),
]
LASTING = [
    ConfigurationError("wrong"),
    InvalidRequest("wrong"),
    RemoteError("internal"),
    Unauthorized("o"),
    Unavailable("no permission", retryable=False),
]


class FailingBus:
    """A bus whose first calls fail: with each of ``errors`` once, then with success."""

    def __init__(self, *errors: ServiceBusError) -> None:
        self._errors = list(errors)
        self.timeouts: list[float] = []
        """The timeout of each call, in seconds."""

    async def call(self, channel: str, request: object, *, timeout: float) -> object:
        self.timeouts.append(timeout)
        if self._errors:
            raise self._errors.pop(0)
        return REPLY


def caller(bus: FailingBus, *, timeout: float = 5.0, patience: float = 10.0) -> Caller:
    until = asyncio.get_running_loop().time() + patience
    return Caller(cast(ServiceBus, bus), timeout, until)


@pytest.mark.parametrize("error", PASSING, ids=repr)
async def test_a_call_that_may_succeed_later_is_repeated(error: ServiceBusError) -> None:
    bus = FailingBus(error, error)
    assert await caller(bus).call(CHANNEL, REQUEST) == REPLY
    assert len(bus.timeouts) == 3


@pytest.mark.parametrize("error", LASTING, ids=repr)
async def test_a_call_that_would_fail_again_is_not_repeated(error: ServiceBusError) -> None:
    bus = FailingBus(error)
    with pytest.raises(type(error)) as failure:
        await caller(bus).call(CHANNEL, REQUEST)
    assert failure.value is error
    assert len(bus.timeouts) == 1


@pytest.mark.parametrize("error", [SendUnknown("c"), WorkerLost("c")], ids=repr)
async def test_a_call_that_may_have_run_is_repeated_only_if_idempotent(error: ServiceBusError) -> None:
    bus = FailingBus(error)
    with pytest.raises(type(error)):
        await caller(bus).call("orders.request", Reconcile())
    assert len(bus.timeouts) == 1


async def test_an_attempt_has_its_timeout_or_the_time_that_is_left() -> None:
    bus = FailingBus()
    await caller(bus, timeout=5.0, patience=10.0).call(CHANNEL, REQUEST)
    await caller(bus, timeout=5.0, patience=1.0).call(CHANNEL, REQUEST)
    first, second = bus.timeouts
    assert first == 5.0
    assert 0 < second <= 1.0


async def test_a_call_that_has_no_time_left_is_not_made() -> None:
    bus = FailingBus()
    with pytest.raises(DeadlineExceeded) as failure:
        await caller(bus, patience=0.0).call(CHANNEL, REQUEST)
    assert failure.value.executed == "no"
    assert bus.timeouts == []


async def test_a_call_is_repeated_until_its_time_is_over() -> None:
    bus = FailingBus(*[NoWorkers("c") for _ in range(10_000)])
    with pytest.raises(NoWorkers):
        await caller(bus, patience=0.5).call(CHANNEL, REQUEST)
    assert len(bus.timeouts) > 3


async def test_the_error_says_that_an_earlier_attempt_may_have_run() -> None:
    bus = FailingBus(WorkerLost("c"), RemoteError("internal"), NoWorkers("c"))
    with pytest.raises(RemoteError):
        await caller(bus).call(CHANNEL, REQUEST)
    bus = FailingBus(WorkerLost("c"), Unavailable("no permission", retryable=False))
    with pytest.raises(WorkerLost):
        await caller(bus).call(CHANNEL, REQUEST)
