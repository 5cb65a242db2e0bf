from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest

import servicebus
from servicebus import (
    ConfigurationError,
    Context,
    DeadlineExceeded,
    InvalidRequest,
    NoWorkers,
    Service,
    ServiceBus,
    ServiceBusError,
    Unavailable,
)
from servicebus.calling.blocking import SyncBus
from servicebus.testing.servers import Server

from ...support.shop import (
    CHANNEL,
    Closed,
    Count,
    Placed,
    Reserve,
    Reserved,
    calling,
)
from ...support.timing import LONG, PROGRAM_WITHIN, Stopwatch, allowed, eventually, eventually_sync


def shop(seen: list[Any]) -> Service:
    service = Service("shop")

    @service.handler
    async def count(request: Count, context: Context) -> int:
        seen.append((context.correlation_id, dict(context.headers), context.deadline_ms))
        return request.upto

    @service.handler
    async def reserve(request: Reserve) -> Reserved:
        raise Closed(until="noon")

    @service.handler("nested")
    def nested(message: dict[str, Any], context: Context) -> dict[str, Any]:
        with servicebus.context(headers={"added": "yes"}):
            reply = context.bus.sync.call(CHANNEL, Count(upto=message["upto"]), timeout=60.0)
        return {"reply": reply, "deadline": context.deadline_ms, "thread": threading.current_thread().name}

    @service.on("orders.placed")
    async def on_placed(event: Placed, context: Context) -> None:
        seen.append((event.order_id, context.correlation_id))

    return service


async def test_calls_from_a_thread_do_what_calls_from_the_loop_do(url: str) -> None:
    def work() -> None:
        assert bus.sync.call(CHANNEL, Count(upto=3)) == 3
        assert bus.sync.call(CHANNEL, {"type": "count", "upto": 4}) == 4
        with pytest.raises(Closed) as caught:
            bus.sync.call(CHANNEL, Reserve(order_id="o-1", lines=[]))
        assert caught.value.until == "noon"
        with pytest.raises(NoWorkers):
            bus.sync.call("nobody.request", Count())
        with pytest.raises(InvalidRequest):
            bus.sync.send(CHANNEL, {"no": "type"})

    async with calling(url, shop([])) as bus:
        await asyncio.to_thread(work)
        assert bus.pending == 0


async def test_messages_and_events_from_a_thread_arrive_with_its_context(url: str) -> None:
    seen: list[Any] = []

    def work() -> None:
        with servicebus.context(correlation_id="abc", headers={"tenant": "t1"}):
            bus.sync.send(CHANNEL, Count())
            bus.sync.publish("orders.placed", Placed("o-1"))

    async with calling(url, shop(seen)) as bus:
        await asyncio.to_thread(work)
        await eventually(lambda: len(seen) == 2)
    assert ("abc", {"tenant": "t1"}, 0) in seen
    assert ("o-1", "abc") in seen


async def test_a_plain_handler_calls_on_with_its_context_and_its_deadline(url: str) -> None:
    seen: list[Any] = []
    async with calling(url, shop(seen)) as bus:
        with servicebus.context(correlation_id="abc", headers={"tenant": "t1"}):
            reply = await bus.call(CHANNEL, {"type": "nested", "upto": 5}, timeout=3.0)
    assert reply["reply"] == 5
    assert reply["thread"].startswith("shop-handler")
    assert seen == [("abc", {"tenant": "t1", "added": "yes"}, reply["deadline"])]


async def test_many_threads_call_at_once(url: str) -> None:
    def work(number: int) -> int:
        return bus.sync.call(CHANNEL, Count(upto=number))

    async with calling(url, shop([])) as bus:
        with ThreadPoolExecutor(16) as threads:
            loop = asyncio.get_running_loop()
            replies = await asyncio.gather(*(loop.run_in_executor(threads, work, number) for number in range(300)))
    assert replies == list(range(300))


async def test_the_loop_of_the_bus_is_told_instead_of_blocked() -> None:
    async with ServiceBus("memory://") as bus:
        with pytest.raises(ConfigurationError, match="a thread other than that of its event loop"):
            bus.sync.call(CHANNEL, Count())


def test_a_bus_that_is_not_open_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs an open bus"):
        ServiceBus("memory://").sync.send(CHANNEL, Count())


async def test_a_thread_that_waits_when_the_bus_closes_gets_an_error(url: str) -> None:
    service = Service("shop")
    started = asyncio.Event()

    @service.handler
    async def count(request: Count) -> int:
        started.set()
        await asyncio.sleep(30)
        return 0

    async with ServiceBus(url) as worker, worker.serving(service, drain=0.05):
        bus = ServiceBus(url)
        await bus.open()
        waiting = asyncio.create_task(asyncio.to_thread(bus.sync.call, CHANNEL, Count(), timeout=20.0))
        await started.wait()
        await bus.close()
        with pytest.raises(servicebus.SendUnknown, match="the bus was closed"):
            await asyncio.wait_for(waiting, LONG)


def threads_of_the_bus() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("servicebus-wsgi")]


async def test_a_program_without_an_event_loop_gives_the_bus_one_of_its_own(url: str) -> None:
    def work() -> list[int]:
        with ServiceBus(url, service="wsgi").sync as bus, ThreadPoolExecutor(8) as threads:
            assert len(threads_of_the_bus()) == 1
            with pytest.raises(Closed):
                bus.call(CHANNEL, Reserve(order_id="o-1", lines=[]))
            return list(threads.map(lambda number: bus.call(CHANNEL, Count(upto=number)), range(100)))

    async with calling(url, shop([])):
        assert await asyncio.to_thread(work) == list(range(100))
    assert threads_of_the_bus() == []


def test_such_a_bus_is_opened_again_after_it_was_closed() -> None:
    bus = ServiceBus("memory://", service="wsgi")
    for _ in range(2):
        with bus.sync, pytest.raises(NoWorkers):
            bus.sync.call(CHANNEL, Count())
        bus.sync.close()
        with pytest.raises(ConfigurationError, match=r"bus\.sync\.open"):
            bus.sync.call(CHANNEL, Count())


def test_why_it_cannot_be_opened_is_said_and_no_thread_stays() -> None:
    for _ in range(2):
        bus = ServiceBus("unix:///nowhere/at-all.sock", service="wsgi")
        with pytest.raises(servicebus.Unavailable, match="No such file"):
            bus.sync.open()
    assert threads_of_the_bus() == []
    with (
        ServiceBus("memory://", service="wsgi").sync as opened,
        pytest.raises(ConfigurationError, match="open already"),
    ):
        opened.open()


async def test_a_bus_that_a_loop_has_opened_stays_with_it() -> None:
    async with ServiceBus("memory://", service="wsgi") as bus:
        with pytest.raises(ConfigurationError, match="open already"):
            await asyncio.to_thread(bus.sync.open)
        assert threads_of_the_bus() == []
        with pytest.raises(NoWorkers):
            await bus.call(CHANNEL, Count())


def test_threads_that_open_and_close_one_bus_at_once_leave_nothing_open() -> None:
    for _ in range(30):
        bus, both = ServiceBus("memory://", service="wsgi"), threading.Barrier(2)

        def use(bus: ServiceBus = bus, both: threading.Barrier = both) -> None:
            both.wait()
            with contextlib.suppress(ConfigurationError):
                bus.sync.open()
            both.wait()
            bus.sync.close()

        threads = [threading.Thread(target=use) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert bus.loop is None
    assert threads_of_the_bus() == []


@pytest.mark.parametrize("error", [OSError("no file descriptors"), SystemExit("settings said so")])
def test_a_loop_that_cannot_run_is_said(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: ServiceBus) -> None:
        raise error

    monkeypatch.setattr(ServiceBus, "open", fail)
    with pytest.raises(type(error)):
        ServiceBus("memory://", service="wsgi").sync.open()
    assert threads_of_the_bus() == []


def test_every_call_of_a_bus_that_is_closed_meanwhile_ends() -> None:
    ends: list[Any] = []

    def call(bus: ServiceBus) -> None:
        try:
            bus.sync.call(CHANNEL, Count(), timeout=5.0)
        except servicebus.ServiceBusError as error:
            ends.append(error)

    for _ in range(30):
        bus = ServiceBus("memory://", service="wsgi")
        bus.sync.open()
        threads = [threading.Thread(target=call, args=(bus,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        bus.sync.close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
    assert len(ends) == 240


def test_a_loop_that_is_closed_under_a_call_is_noticed() -> None:
    bus, loop = ServiceBus("memory://", service="wsgi"), asyncio.new_event_loop()
    bus.sync = SyncBus(bus, check_interval=0.02)
    loop.run_until_complete(bus.open())
    with ThreadPoolExecutor(1) as threads:
        calling = threads.submit(bus.sync.call, CHANNEL, Count())
        assert not wait([calling], 0.1).done
        loop.run_until_complete(bus.close())
        bus.loop = loop  # as it was when the call was made
        loop.close()
        with pytest.raises(servicebus.ServiceBusError):
            calling.result(10)
        with pytest.raises(servicebus.Unavailable, match="event loop of the bus was closed"):
            bus.sync.call(CHANNEL, Count())


async def test_the_loop_of_the_bus_does_not_wait_for_itself() -> None:
    async with ServiceBus("memory://") as bus:
        with pytest.raises(ConfigurationError, match="from another thread"):
            bus.sync.close()


def test_a_bus_that_was_opened_before_a_fork_says_so() -> None:
    code = """
import os, servicebus
bus = servicebus.ServiceBus("memory://")
bus.sync.open()
pid = os.fork()
if pid == 0:
    for use in (lambda: bus.sync.call("shop.request", {"type": "a"}), bus.sync.open, bus.sync.close):
        try:
            use()
        except servicebus.ConfigurationError as error:
            print(error, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
bus.sync.close()
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PROGRAM_WITHIN, check=True
    )
    assert said.stdout == 3 * "the bus was opened before a fork: make a ServiceBus in each process\n"


class TimeLimit(BaseException):
    """What a host raises in a thread that takes too long."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, TimeLimit, TimeoutError])
def test_a_call_that_an_exception_ends_is_withdrawn(own_server: Server, error: type[BaseException]) -> None:
    """A signal handler raises it in the middle of the wait, as Ctrl-C does."""
    seen, service = list[int](), Service("shop")

    @service.handler
    async def count(request: Count) -> int:
        seen.append(request.upto)
        return request.upto

    def interrupt(number: int, frame: Any) -> None:
        raise error

    own_server.register(CHANNEL)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with ServiceBus(own_server.url, service="wsgi").sync as bus:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(error) as caught:
                bus.call(CHANNEL, Count(upto=1), timeout=LONG)
            assert caught.type is error, "the call's own DeadlineExceeded is a TimeoutError too"
            eventually_sync(lambda: not own_server.frames(CHANNEL))
            assert seen == []
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("timeout", ["soon", float("nan"), float("inf"), 0, -1, None])
def test_a_timeout_that_cannot_be_is_refused_before_anything_is_sent(own_server: Server, timeout: Any) -> None:
    own_server.register(CHANNEL)
    with ServiceBus(own_server.url, service="wsgi", timeout=0.2).sync as bus:
        with pytest.raises(ConfigurationError if timeout is not None else DeadlineExceeded, match=r"timeout|deadline"):
            bus.call(CHANNEL, Count(), timeout=timeout)
        assert own_server.frames(CHANNEL) == []


@pytest.mark.parametrize("use", ["call", "send", "publish"])
def test_a_loop_that_does_not_run_keeps_nobody_waiting(url: str, use: str) -> None:
    """A test without an event loop that uses a bus of an event loop, for example."""
    bus, loop = ServiceBus(url, timeout=0.1), asyncio.new_event_loop()
    loop.run_until_complete(bus.open())
    uses: dict[str, Callable[[], object]] = {
        "call": lambda: bus.sync.call(CHANNEL, Count(), timeout=0.1),
        "send": lambda: bus.sync.send(CHANNEL, Count()),
        "publish": lambda: bus.sync.publish("orders.placed", {}),
    }
    with pytest.raises(Unavailable, match="does not run") as caught, Stopwatch() as watch:
        uses[use]()
    assert caught.value.executed == "no"
    assert watch.seconds < allowed(5.0)
    loop.run_until_complete(bus.close())
    loop.close()


async def test_a_loop_that_stands_still_keeps_no_thread_waiting(url: str) -> None:
    async with ServiceBus(url) as bus:
        standing, went_on = threading.Event(), threading.Event()

        def stand_still() -> None:
            standing.set()
            went_on.wait(LONG)

        with ThreadPoolExecutor(1) as threads:
            asyncio.get_running_loop().call_soon(stand_still)

            def in_thread() -> BaseException | None:
                standing.wait(LONG)
                try:
                    bus.sync.call(CHANNEL, Count(), timeout=0.1)
                except ServiceBusError as error:
                    return error
                finally:
                    went_on.set()
                return None

            error = await asyncio.wrap_future(threads.submit(in_thread))
    assert isinstance(error, Unavailable)


def test_a_forked_child_learns_at_once_that_the_bus_is_not_its_own() -> None:
    code = """
import asyncio, os, servicebus
loop, bus = asyncio.new_event_loop(), servicebus.ServiceBus("memory://")
loop.run_until_complete(bus.open())
pid = os.fork()
if pid == 0:
    try:
        bus.sync.call("shop.request", {"type": "a"})
    except servicebus.ConfigurationError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
loop.run_until_complete(bus.close())
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PROGRAM_WITHIN, check=True
    )
    assert said.stdout == "the bus was opened before a fork: make a ServiceBus in each process\n"
