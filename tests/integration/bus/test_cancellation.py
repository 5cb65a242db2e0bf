"""A caller that goes away takes its call with it: queued, running, and what the handler has called in turn."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import servicebus
from servicebus import Context, DeadlineExceeded, Service, ServiceBus

from ...support.shop import calling
from ...support.timing import MS, eventually


class Chain:
    """``front`` calls ``middle``, which calls ``back``, which waits until it is told to go on, or is ended."""

    def __init__(self) -> None:
        self.front, self.middle, self.back = Service("front"), Service("middle"), Service("back")
        self.started: list[str] = []
        self.ended: list[str] = []
        self.release = asyncio.Event()
        self.front.handler("go")(self._calling("front", "middle.request"))
        self.middle.handler("go")(self._calling("middle", "back.request"))
        self.back.handler("go")(self._waiting)

    @property
    def services(self) -> tuple[Service, ...]:
        return self.front, self.middle, self.back

    def _calling(self, name: str, channel: str) -> Any:
        async def handler(message: dict[str, Any], context: Context) -> Any:
            self.started.append(name)
            try:
                return await context.bus.call(channel, {"type": "go"})
            except asyncio.CancelledError:
                self.ended.append(name)
                raise

        return handler

    async def _waiting(self, message: dict[str, Any]) -> str:
        self.started.append("back")
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.ended.append("back")
            raise
        return "done"


async def withdrawn_or_told(bus: ServiceBus) -> None:
    """Wait until the cancelled calls of a bus are withdrawn, and the workers told of those that were not."""
    await eventually(lambda: bus.session.caller.is_idle)


async def test_a_cancelled_call_ends_the_handler_and_everything_it_has_called(url: str) -> None:
    chain = Chain()
    async with calling(url, *chain.services) as bus:
        call = asyncio.create_task(bus.call("front.request", {"type": "go"}, timeout=30))
        await eventually(lambda: chain.started == ["front", "middle", "back"])
        call.cancel()
        await eventually(lambda: sorted(chain.ended) == ["back", "front", "middle"])
        with pytest.raises(asyncio.CancelledError):
            await call
        assert bus.pending == 0


async def test_other_calls_of_the_same_caller_go_on(url: str) -> None:
    chain = Chain()
    async with calling(url, *chain.services) as bus:
        calls = [asyncio.create_task(bus.call("back.request", {"type": "go"})) for _ in range(20)]
        await eventually(lambda: len(chain.started) == 20)
        for call in calls[::2]:
            call.cancel()
        await eventually(lambda: len(chain.ended) == 10)
        chain.release.set()
        assert await asyncio.gather(*calls[1::2]) == ["done"] * 10


async def test_a_queued_call_that_is_cancelled_never_starts(url: str) -> None:
    chain = Chain()
    async with ServiceBus(url) as worker, ServiceBus(url) as bus, worker.serving(chain.back, concurrency=1):
        first = asyncio.create_task(bus.call("back.request", {"type": "go"}))
        await eventually(lambda: chain.started == ["back"])
        queued = [asyncio.create_task(bus.call("back.request", {"type": "go"})) for _ in range(5)]
        await asyncio.sleep(20 * MS)
        for call in queued:
            call.cancel()
        await asyncio.gather(*queued, return_exceptions=True)
        await withdrawn_or_told(bus)
        chain.release.set()
        assert await first == "done"
        await asyncio.sleep(20 * MS)
        assert chain.started == ["back"]


async def test_thousands_of_cancelled_calls_give_all_credit_back(url: str) -> None:
    chain = Chain()
    async with calling(url, *chain.services, concurrency=100) as bus:
        for _ in range(10):
            calls = [asyncio.create_task(bus.call("back.request", {"type": "go"})) for _ in range(300)]
            await asyncio.sleep(10 * MS)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        await eventually(lambda: len(chain.started) == len(chain.ended))
        chain.release.set()
        assert await asyncio.gather(*(bus.call("back.request", {"type": "go"}) for _ in range(300))) == ["done"] * 300


async def test_a_thread_whose_caller_went_away_makes_no_calls_any_more(url: str) -> None:
    service, started, go_on, seen = Service("front"), threading.Event(), threading.Event(), []
    chain = Chain()
    chain.release.set()

    @service.handler("go")
    def go(message: dict[str, Any], context: Context) -> None:
        started.set()
        assert go_on.wait(10)
        try:
            context.bus.sync.call("back.request", {"type": "go"})
        except DeadlineExceeded as error:
            seen.append(error)

    async with ServiceBus(url) as worker, ServiceBus(url) as bus, worker.serving(service), worker.serving(chain.back):
        call = asyncio.create_task(bus.call("front.request", {"type": "go"}))
        await eventually(started.is_set)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await eventually(lambda: worker.counters.cancelled == 1)
        go_on.set()
        await eventually(lambda: len(seen) == 1)
        assert (seen[0].executed, chain.started) == ("no", [])


async def test_what_a_handler_is_ended_by_is_counted(url: str) -> None:
    chain = Chain()
    async with ServiceBus(url) as worker, ServiceBus(url) as bus, worker.serving(chain.back):
        call = asyncio.create_task(bus.call("back.request", {"type": "go"}))
        await eventually(lambda: chain.started == ["back"])
        call.cancel()
        await eventually(lambda: worker.counters.cancelled == 1)
        await asyncio.gather(call, return_exceptions=True)


async def test_a_context_set_by_hand_does_not_hold_a_cancelled_call(url: str) -> None:
    chain = Chain()
    async with calling(url, *chain.services) as bus:
        with servicebus.context(correlation_id="abc"):
            call = asyncio.create_task(bus.call("back.request", {"type": "go"}))
        await eventually(lambda: chain.started == ["back"])
        call.cancel()
        await eventually(lambda: chain.ended == ["back"])
        await asyncio.gather(call, return_exceptions=True)


async def test_cancelled_calls_of_plain_handlers_leave_no_work_for_threads(url: str) -> None:
    service, go_on = Service("shop"), threading.Event()

    @service.handler("wait")
    def wait(message: dict[str, Any]) -> None:
        assert go_on.wait(10)

    async with ServiceBus(url) as worker, ServiceBus(url) as bus, worker.serving(service, concurrency=50) as serving:
        for _ in range(10):
            calls = [asyncio.create_task(bus.call("shop.request", {"type": "wait"})) for _ in range(50)]
            await asyncio.sleep(10 * MS)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        (dispatcher,) = serving._dispatchers
        queue = dispatcher._endpoints._threads._pool._work_queue
        await eventually(lambda: queue.qsize() == 0)
        go_on.set()
        assert await bus.call("shop.request", {"type": "wait"}) is None
