"""Event loops that stand still and go on: nothing may be judged by time in which this process could not listen."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from servicebus import Adaptive, DeadlineExceeded, Service, ServiceBus, Shedding
from servicebus.api.middleware import Invocation
from servicebus.config import Timing
from servicebus.foundation.event_loop import loop_factory
from servicebus.resilience import CircuitBreaker
from servicebus.resilience.circuit import State
from servicebus.testing.servers import Server

from ...support.shop import CHANNEL
from ...support.timing import LONG, MS, eventually, stand_still

STILL = 3.0
"""Seconds for which a loop stands still: more than any wait in these tests."""
SHORT_TIMING = Timing(max_outage=1.0, max_silence=1.0)

NewLoop = Callable[[], asyncio.AbstractEventLoop]


def loops() -> list[NewLoop]:
    """The loop of asyncio, and that of uvloop where it is installed: they read sockets and timers in another order."""
    fast = loop_factory()
    return [asyncio.new_event_loop, *([fast] if fast else [])]


@pytest.fixture(params=loops())
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine on a loop of one kind."""

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(main)

    return run


@pytest.fixture
def served(own_server: Server) -> Iterator[None]:
    """A service in a thread of its own, which answers a third of a second after it was called."""
    service, ended, serving = Service("shop"), threading.Event(), threading.Event()

    @service.handler("work")
    async def work(message: dict[str, Any]) -> str:
        await asyncio.sleep(300 * MS)
        return "done"

    async def serve() -> None:
        async with ServiceBus(own_server.url) as bus, bus.serving(service):
            serving.set()
            while not ended.is_set():
                await asyncio.sleep(10 * MS)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert serving.wait(LONG)
    yield
    ended.set()
    thread.join()


def test_a_caller_that_stood_still_takes_the_reply_that_had_come(
    own_server: Server, served: None, run: Callable[..., Any]
) -> None:
    async def main() -> Any:
        async with ServiceBus(own_server.url) as bus:
            assert await bus.call(CHANNEL, {"type": "work"}, timeout=LONG) == "done"
            calling = asyncio.create_task(bus.call(CHANNEL, {"type": "work"}, timeout=1.0))
            await asyncio.sleep(50 * MS)
            stand_still(STILL)
            return await calling

    assert run(main()) == "done"


def test_a_sender_that_stood_still_keeps_its_connection(own_server: Server, run: Callable[..., Any]) -> None:
    """The server answers only after the loop goes on: until then nothing lies in the socket."""

    async def main() -> set[int]:
        async with ServiceBus(own_server.url, timing=SHORT_TIMING) as bus:
            await bus.send(CHANNEL, {"type": "work"})
            own_server.pause()
            sending = asyncio.create_task(bus.send(CHANNEL, {"type": "work"}))
            await asyncio.sleep(100 * MS)
            stand_still(STILL)
            await asyncio.sleep(100 * MS)
            own_server.resume()
            await sending
        return {len(own_server.frames(CHANNEL))}

    assert run(main()) == {2}


def test_an_outage_is_not_longer_because_the_sender_stood_still(own_server: Server, run: Callable[..., Any]) -> None:
    async def main() -> None:
        async with ServiceBus(own_server.url, timing=SHORT_TIMING) as bus:
            await bus.send(CHANNEL, {"type": "work"})
            own_server.kill()
            await asyncio.sleep(100 * MS)
            sending = asyncio.create_task(bus.send(CHANNEL, {"type": "work"}))
            await asyncio.sleep(0)
            restarting = threading.Thread(target=asyncio.run, args=(own_server.restart(),))
            restarting.start()
            restarting.join()
            stand_still(STILL)
            await sending

    run(main())
    assert len(own_server.frames(CHANNEL)) == 1


def test_a_worker_that_stood_still_sheds_nothing_that_came_meanwhile(
    own_server: Server, run: Callable[..., Any]
) -> None:
    """There is more to do than is done within the interval after which a queue counts as standing."""
    ran, count = list[int](), 200
    service = Service("shop", shedding=Shedding(target=0.5, interval=10 * MS))

    @service.handler("work")
    async def work(message: dict[str, Any]) -> None:
        ran.append(message["n"])
        await asyncio.sleep(1 * MS)

    async def main() -> int:
        async with ServiceBus(own_server.url) as worker, worker.serving(service, concurrency=4):
            await worker.send(CHANNEL, {"type": "work", "n": -1})
            await eventually(lambda: bool(ran))
            await asyncio.gather(*(worker.send(CHANNEL, {"type": "work", "n": n}) for n in range(count)))
            stand_still(STILL)
            await eventually(lambda: len(ran) + worker.counters.shed_messages > count)
            return worker.counters.shed_messages

    assert run(main()) == 0


def test_credit_does_not_shrink_because_a_worker_stood_still(own_server: Server, run: Callable[..., Any]) -> None:
    concurrency, took = 16, 100 * MS
    service, came, left = Service("shop", adaptive=Adaptive(least=2, tolerance=10.0)), list[int](), list[int]()

    @service.handler("work")
    async def work(message: dict[str, Any]) -> None:
        came.append(message["n"])
        await asyncio.sleep(took)
        left.append(message["n"])

    async def main() -> int:
        async with ServiceBus(own_server.url) as bus, bus.serving(service, concurrency=concurrency) as serving:

            async def send(count: int) -> None:
                came.clear()
                left.clear()
                await asyncio.gather(*(bus.send(CHANNEL, {"type": "work", "n": n}) for n in range(count)))

            while serving.credit[CHANNEL] < concurrency:
                await send(concurrency)
                await eventually(lambda: len(left) == concurrency)
            await send(concurrency)
            await eventually(lambda: len(came) == concurrency)
            stand_still(STILL)
            await eventually(lambda: len(left) == concurrency)
            await asyncio.sleep(0)
            return serving.credit[CHANNEL]

    assert run(main()) == concurrency


def test_a_breaker_does_not_open_because_its_process_stood_still(own_server: Server, run: Callable[..., Any]) -> None:
    breaker = CircuitBreaker(failures=1)

    async def main() -> State:
        async with ServiceBus(own_server.url):

            async def expire(_: Invocation) -> None:
                stand_still(STILL)
                raise DeadlineExceeded(CHANNEL, "work", "dispatched")

            with pytest.raises(DeadlineExceeded):
                await breaker(Invocation("call", CHANNEL, {}, 1.0), expire)
            return breaker.state(CHANNEL)

    assert run(main()) is State.CLOSED
