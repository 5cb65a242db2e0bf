"""How serving begins and ends: presence, drain, background tasks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from typing import Any

import pytest

from servicebus import NoWorkers, Service, ServiceBus, WorkerLost

from ...support.shop import CHANNEL, calling
from ...support.timing import (
    LONG,
    MS,
    Stopwatch,
    allowed,
    eventually,
)


class Draining:
    """A service whose handlers take as long as they are told, in a task or in a thread."""

    def __init__(self) -> None:
        self.started = 0
        self.go_on = threading.Event()
        self.service = Service("shop")
        self.service.handler("wait")(self.wait)
        self.service.handler("block")(self.block)
        self.service.handler("wait_for_ever")(self.wait_for_ever)
        self.service.handler("block_until_told")(self.block_until_told)

    async def wait(self, message: dict[str, Any]) -> int:
        self.started += 1
        await asyncio.sleep(message["seconds"])
        return 1

    def block(self, message: dict[str, Any]) -> int:
        self.started += 1
        time.sleep(message["seconds"])
        return 1

    async def wait_for_ever(self, message: dict[str, Any]) -> None:
        self.started += 1
        await asyncio.Event().wait()

    def block_until_told(self, message: dict[str, Any]) -> None:
        self.started += 1
        assert self.go_on.wait(10)


@pytest.mark.parametrize("kind", ["wait", "block"])
async def test_what_was_taken_is_finished_and_answered_when_serving_ends(url: str, kind: str) -> None:
    draining = Draining()
    async with ServiceBus(url) as bus, ServiceBus(url) as worker:
        async with worker.serving(draining.service):
            calls = [asyncio.create_task(bus.call(CHANNEL, {"type": kind, "seconds": 0.1})) for _ in range(5)]
            await eventually(lambda: draining.started == 5)
        assert await asyncio.gather(*calls) == [1] * 5
        assert worker.counters.lost_replies == 0


async def test_while_a_worker_drains_calls_are_told_that_nobody_serves(url: str) -> None:
    draining = Draining()
    async with ServiceBus(url) as bus, ServiceBus(url) as worker:
        stack = contextlib.AsyncExitStack()
        await stack.enter_async_context(worker.serving(draining.service))
        call = asyncio.create_task(bus.call(CHANNEL, {"type": "block_until_told"}))
        await eventually(lambda: draining.started == 1)
        closing = asyncio.create_task(stack.aclose())
        async with asyncio.timeout(LONG):
            while await bus.workers(CHANNEL):
                await asyncio.sleep(MS)
        assert not closing.done()
        with pytest.raises(NoWorkers):
            await bus.call(CHANNEL, {"type": "wait", "seconds": 0})
        draining.go_on.set()
        await closing
        assert await call is None
    assert draining.started == 1


@pytest.mark.parametrize("kind", ["wait_for_ever", "block_until_told"])
async def test_a_handler_that_outlasts_the_drain_is_given_up_and_its_caller_told(url: str, kind: str) -> None:
    draining = Draining()
    async with ServiceBus(url) as bus, ServiceBus(url) as worker:
        async with worker.serving(draining.service, drain=0.05):
            call = asyncio.create_task(bus.call(CHANNEL, {"type": kind}))
            await eventually(lambda: draining.started == 1)
        with pytest.raises(WorkerLost) as caught:
            await call
        assert caught.value.executed == "maybe"
        draining.go_on.set()


async def test_a_handler_that_ignores_its_cancellation_is_abandoned(url: str, caplog: pytest.LogCaptureFixture) -> None:
    started, release, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    service = Service("shop")

    @service.handler("deaf")
    async def deaf(message: dict[str, Any]) -> None:
        started.set()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        ended.set()

    async with ServiceBus(url) as bus:
        with Stopwatch() as watch:
            async with ServiceBus(url) as worker, worker.serving(service, drain=0.05):
                await bus.send(CHANNEL, {"type": "deaf"})
                await started.wait()
        assert watch.seconds < allowed(2.0)
        assert "1 handlers ignore" in caplog.text
        release.set()
        await ended.wait()
        await asyncio.sleep(0)


async def test_no_message_is_lost_under_load_when_workers_come_and_go(url: str) -> None:
    draining = Draining()
    outcomes: list[Any] = []

    async def keep_calling(bus: ServiceBus) -> None:
        for _ in range(60):
            outcomes.append(await bus.call(CHANNEL, {"type": "wait", "seconds": MS}, timeout=3.0))

    async with ServiceBus(url) as bus, ServiceBus(url) as worker:
        async with worker.serving(draining.service):
            callers = [asyncio.create_task(keep_calling(bus)) for _ in range(20)]
            for _ in range(8):
                async with worker.serving(draining.service, concurrency=10):
                    await asyncio.sleep(10 * MS)
            await asyncio.gather(*callers)
        assert worker.counters.lost_replies == 0
    assert outcomes == [1] * 1200
    assert draining.started == 1200


async def test_leaving_the_bus_drains_what_it_serves(url: str) -> None:
    draining = Draining()
    async with ServiceBus(url) as bus:
        worker = ServiceBus(url)
        await worker.open()
        serving = contextlib.AsyncExitStack()
        await serving.enter_async_context(worker.serving(draining.service))
        call = asyncio.create_task(bus.call(CHANNEL, {"type": "wait", "seconds": 0.05}))
        await eventually(lambda: draining.started == 1)
        await worker.close()
        assert await call == 1
        await serving.aclose()


async def test_a_background_task_runs_again_and_again_whatever_it_raises(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    service, runs = Service("shop"), list[float]()

    @service.every(0.02)
    async def tick(bus: ServiceBus) -> None:
        runs.append(time.monotonic())
        await bus.publish("ticked", {"n": len(runs)})
        if len(runs) == 2:
            raise ValueError("broken")

    async with calling(url, service):
        await eventually(lambda: len(runs) >= 5)
    at_the_end = len(runs)
    await asyncio.sleep(50 * MS)
    assert len(runs) == at_the_end
    assert min(later - earlier for earlier, later in itertools.pairwise(runs)) >= 0.02
    assert "tick failed" in caplog.text
