"""A worker with plain ``def`` handlers takes what its threads can run, and leaves the rest to other workers."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import pytest

from servicebus import Overloaded, RemoteError, Service, ServiceBus, ServiceBusError, WorkerLost
from servicebus.serving.threads import THREADS

from ...support.shop import CHANNEL
from ...support.timing import LONG, MS, eventually


class Blocking:
    """A service whose plain handler waits in its thread until it may end."""

    def __init__(self, name: str, *, mixed: bool) -> None:
        self.name = name
        self.may_end = threading.Event()
        self.started: list[int] = []
        self.service = Service("shop")
        self.service.handler("block")(self.block)
        if mixed:
            self.service.handler("quick")(self.quick)

    def block(self, message: dict[str, Any]) -> str:
        self.started.append(message["n"])
        self.may_end.wait(LONG)
        return self.name

    async def quick(self, message: dict[str, Any]) -> str:
        return "quick"


@pytest.mark.parametrize("mixed", [False, True])
async def test_two_workers_share_what_their_threads_can_run(fresh_hub: str, mixed: bool) -> None:
    one, two = Blocking("one", mixed=mixed), Blocking("two", mixed=mixed)
    async with ServiceBus(fresh_hub) as first, ServiceBus(fresh_hub) as second, ServiceBus(fresh_hub) as bus:
        async with first.serving(one.service), second.serving(two.service), asyncio.timeout(LONG):
            calls = [
                asyncio.create_task(bus.call(CHANNEL, {"type": "block", "n": n}, timeout=LONG))
                for n in range(2 * THREADS)
            ]
            await eventually(lambda: len(one.started) + len(two.started) >= 2 * THREADS - (1 if mixed else 0))
            for blocking in (one, two):
                blocking.may_end.set()
            done = Counter(await asyncio.gather(*calls))
    assert max(done.values()) <= THREADS + (1 if mixed else 0)


async def test_a_handler_without_a_thread_runs_while_all_threads_are_busy(fresh_hub: str) -> None:
    blocking = Blocking("one", mixed=True)
    async with ServiceBus(fresh_hub) as bus, bus.serving(blocking.service), asyncio.timeout(LONG):
        calls = [
            asyncio.create_task(bus.call(CHANNEL, {"type": "block", "n": n}, timeout=LONG)) for n in range(THREADS)
        ]
        await eventually(lambda: len(blocking.started) == THREADS)
        for _ in range(50):
            assert await bus.call(CHANNEL, {"type": "quick"}) == "quick"
        blocking.may_end.set()
        await asyncio.gather(*calls)


@pytest.mark.parametrize("mixed", [False, True])
async def test_what_only_waited_for_a_thread_was_not_executed(fresh_hub: str, mixed: bool) -> None:
    blocking = Blocking("one", mixed=mixed)
    calls: list[asyncio.Task[Any]] = []
    async with ServiceBus(fresh_hub) as caller, ServiceBus(fresh_hub) as bus:
        async with asyncio.timeout(LONG):
            async with bus.serving(blocking.service, drain=20 * MS):
                calls = [
                    asyncio.create_task(caller.call(CHANNEL, {"type": "block", "n": n}, timeout=LONG / 10))
                    for n in range(3 * THREADS)
                ]
                await eventually(lambda: len(blocking.started) == THREADS)
            blocking.may_end.set()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for number, outcome in enumerate(outcomes):
        assert isinstance(outcome, ServiceBusError)
        if number in blocking.started:
            assert isinstance(outcome, WorkerLost)
        else:
            assert outcome.executed == "no", outcome
    assert len(blocking.started) == THREADS
    if mixed:
        assert any(isinstance(outcome, Overloaded) for outcome in outcomes)


async def test_all_threads_work_through_whatever_comes(fresh_hub: str) -> None:
    service, seen = Service("shop"), set[int]()

    @service.handler("work")
    def work(message: dict[str, Any]) -> int:
        seen.add(threading.get_ident())
        if message["n"] % 7 == 0:
            raise StopIteration
        return int(message["n"])

    async with ServiceBus(fresh_hub) as bus, bus.serving(service), asyncio.timeout(LONG):
        calls = [(CHANNEL, {"type": "work", "n": n}) for n in range(300)]
        outcomes = await bus.gather(*calls, timeout=LONG, return_exceptions=True)
        assert [isinstance(one, RemoteError) or one for one in outcomes] == [n % 7 == 0 or n for n in range(300)]
    assert len(seen) <= THREADS
