"""A service stops within its drain, whatever its handlers and its periodic tasks do with their cancellation."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from servicebus import ConfigurationError, RemoteError, Service, ServiceBus, WorkerLost
from servicebus.foundation.tasks import CANCEL_WITHIN

from ...support.shop import CHANNEL
from ...support.timing import LONG, MS, PROGRAM_WITHIN, Stopwatch, allowed, eventually

DRAIN = 100 * MS

Action = Callable[[asyncio.Event], Awaitable[None]]


async def swallow_one(forever: asyncio.Event) -> None:
    """It takes its first cancellation for something else, as a queue with a timeout may on Python 3.11."""
    try:
        await forever.wait()
    except asyncio.CancelledError:
        await forever.wait()


async def swallow_and_return(forever: asyncio.Event) -> None:
    try:
        await forever.wait()
    except asyncio.CancelledError:
        return


async def swallow_all(forever: asyncio.Event) -> None:
    while not forever.is_set():
        try:
            await forever.wait()
        except BaseException:  # noqa: BLE001
            continue


async def clean_up_for_ever(forever: asyncio.Event) -> None:
    try:
        await forever.wait()
    finally:
        await forever.wait()


async def hide_it(forever: asyncio.Event) -> None:
    try:
        await forever.wait()
    except asyncio.CancelledError:
        raise ValueError("hidden") from None


async def shielded(forever: asyncio.Event) -> None:
    await asyncio.shield(swallow_one(forever))


ACTS: list[Action] = [swallow_one, swallow_and_return, swallow_all, clean_up_for_ever, hide_it, shielded]


class Stubborn:
    """A service with a periodic task and a handler that do as ``act`` does. ``release`` lets both end."""

    def __init__(self, act: Action) -> None:
        self.act = act
        self.release = asyncio.Event()
        self.periods = self.handled = 0
        self.service = Service("shop")
        self.service.handler("work")(self.work)
        self.service.handler("count")(self.count)

    async def period(self, bus: Any) -> None:
        self.periods += 1
        await self.act(self.release)

    async def work(self, message: dict[str, Any]) -> str:
        self.handled += 1
        await self.act(self.release)
        return "late"

    async def count(self, message: dict[str, Any]) -> int:
        return self.handled


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("closing", [False, True])
async def test_a_periodic_task_does_not_keep_a_service(fresh_hub: str, act: Action, closing: bool) -> None:
    stubborn = Stubborn(act)
    stubborn.service.every(MS)(stubborn.period)
    bus = ServiceBus(fresh_hub)
    await bus.open()
    serving = bus.serving(stubborn.service, drain=DRAIN)
    await serving.__aenter__()
    await eventually(lambda: stubborn.periods == 1)
    with Stopwatch() as watch:
        async with asyncio.timeout(LONG):
            if closing:
                await bus.close()
            await serving.__aexit__(None, None, None)
            await bus.close()
    assert watch.seconds < allowed((5.0 if closing else DRAIN) + CANCEL_WITHIN + 0.5)
    assert stubborn.periods == 1
    stubborn.release.set()


@pytest.mark.parametrize("act", ACTS)
async def test_the_caller_of_a_handler_that_outlasts_the_drain_is_told(fresh_hub: str, act: Action) -> None:
    stubborn = Stubborn(act)
    async with ServiceBus(fresh_hub) as caller, ServiceBus(fresh_hub) as bus:
        async with asyncio.timeout(LONG):
            async with bus.serving(stubborn.service, drain=DRAIN):
                call = asyncio.create_task(caller.call(CHANNEL, {"type": "work"}, timeout=LONG))
                await eventually(lambda: stubborn.handled == 1)
            outcome: Any
            (outcome,) = await asyncio.gather(call, return_exceptions=True)
        # A handler that makes a reply or an error of its cancellation gives that as its outcome.
        expected: dict[Any, type] = {swallow_and_return: str, hide_it: RemoteError}
        assert isinstance(outcome, expected.get(act, WorkerLost))
        stubborn.release.set()
        await asyncio.sleep(10 * MS)
        assert caller.counters.late_replies == 0, "an abandoned handler answers no second time"


async def test_no_message_is_taken_while_a_periodic_task_cleans_up(fresh_hub: str) -> None:
    stubborn = Stubborn(clean_up_for_ever)
    stubborn.service.every(MS)(stubborn.period)
    async with ServiceBus(fresh_hub) as caller, ServiceBus(fresh_hub) as bus:
        serving = bus.serving(stubborn.service, drain=LONG)
        await serving.__aenter__()
        await eventually(lambda: stubborn.periods == 1)
        leaving = asyncio.create_task(serving.__aexit__(None, None, None))
        while await caller.workers(CHANNEL):
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(MS)
        await caller.send(CHANNEL, {"type": "work"})
        for _ in range(20):
            await asyncio.sleep(MS)
        assert stubborn.handled == 0
        stubborn.release.set()
        async with asyncio.timeout(LONG):
            await leaving


class Panic(BaseException):
    """Not an Exception."""


async def cancelled_inside() -> None:
    inner = asyncio.create_task(asyncio.sleep(LONG))
    inner.cancel()
    await inner


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(LONG)


async def exits() -> None:
    sys.exit(3)


def raising(error: BaseException) -> Callable[[], Awaitable[None]]:
    async def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    "act",
    [
        cancelled_inside,
        cancels_itself,
        exits,
        raising(asyncio.CancelledError()),
        raising(Panic()),
        raising(KeyboardInterrupt()),
        raising(GeneratorExit()),
        raising(BaseExceptionGroup("two", [Panic()])),
        raising(StopAsyncIteration()),
        raising(ValueError()),
    ],
)
async def test_a_periodic_task_runs_again_whatever_it_raises(
    fresh_hub: str, act: Callable[[], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    service, runs = Service("shop"), list[int]()

    @service.every(MS)
    async def task(bus: Any) -> None:
        runs.append(1)
        await act()

    async with ServiceBus(fresh_hub) as bus, bus.serving(service):
        await eventually(lambda: len(runs) >= 3)
    assert "failed; it runs again" in caplog.text


FORGOTTEN = """
import asyncio
from servicebus import Service, ServiceBus

service, runs, kept = Service("shop"), [], []

@service.every(0.001)
async def task(bus):
    runs.append(1)
    await asyncio.sleep(len(runs) % 2 * 3600)

async def main():
    bus = ServiceBus("memory://")
    await bus.open()
    kept.append(bus.serving(service))
    await kept[0].__aenter__()
    while not runs:
        await asyncio.sleep(0.001)

asyncio.run(main())
print("ended")
"""
"""A program that forgets to close its bus. Its event loop cancels all tasks and waits for them."""


def test_a_periodic_task_ends_with_its_event_loop() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FORGOTTEN], capture_output=True, text=True, timeout=PROGRAM_WITHIN, check=False
    )
    assert ended.stdout == "ended\n"


class Object:
    def __call__(self, bus: Any) -> None: ...


def wrapper(bus: Any) -> Any:
    return asyncio.sleep(0)


@pytest.mark.parametrize("task", [wrapper, lambda bus: None, Object(), print, None, 7])
def test_what_is_not_asynchronous_is_refused_as_a_periodic_task(task: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"@service\.every takes an `async def`") as caught:
        Service("shop").every(1.0)(task)
    assert "\n" not in str(caught.value)
