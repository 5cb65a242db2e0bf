"""Every pair of life-cycle calls of a bus, the second begun in the middle of the first: nothing hangs or is left."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import product
from typing import Any

import pytest

from servicebus import ConfigurationError, Service, ServiceBus, Unavailable
from servicebus.testing.servers import Server

from ...support.shop import CHANNEL, echoing
from ...support.timing import LONG, PROGRAM_WITHIN, eventually

Step = Callable[[ServiceBus, Service], Coroutine[Any, Any, None]]


async def opening(bus: ServiceBus, service: Service) -> None:
    await bus.open()


async def closing(bus: ServiceBus, service: Service) -> None:
    await bus.close()


async def serving(bus: ServiceBus, service: Service) -> None:
    async with bus.serving(service, drain=0.1):
        await asyncio.sleep(0)


async def calling(bus: ServiceBus, service: Service) -> None:
    with suppress(TimeoutError):
        await bus.workers(CHANNEL)


STEPS: tuple[Step, ...] = (opening, closing, serving, calling)
MOMENTS = (0, 1, 2, 3, 5, 8, 13, 30)
"""Passes of the event loop after which the second call begins."""


async def works(bus: ServiceBus, service: Service) -> bool:
    async with bus, bus.serving(service):
        reply: dict[str, str] = await bus.call(CHANNEL, {"type": "echo"}, timeout=LONG)
        return reply == {"type": "echo"}


@pytest.mark.parametrize(("first", "second"), list(product(STEPS, STEPS)), ids=lambda step: step.__name__)
@pytest.mark.parametrize("begins_open", [False, True], ids=["closed", "open"])
async def test_two_life_cycle_calls_at_once_leave_a_bus_that_works(
    url: str, begins_open: bool, first: Step, second: Step
) -> None:
    for passes in MOMENTS:
        bus, service = ServiceBus(url), echoing("shop")
        if begins_open:
            await bus.open()
        one = asyncio.create_task(first(bus, service))
        for _ in range(passes):
            await asyncio.sleep(0)
        two = asyncio.create_task(second(bus, service))
        outcomes = await asyncio.wait_for(asyncio.gather(one, two, return_exceptions=True), LONG)
        assert all(isinstance(outcome, ConfigurationError | Unavailable | None) for outcome in outcomes), outcomes
        await asyncio.wait_for(bus.close(), LONG)
        assert bus.loop is None
        assert await works(bus, service)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
@pytest.mark.parametrize("passes", MOMENTS)
async def test_a_life_cycle_call_that_is_cancelled_leaves_a_bus_that_works(url: str, passes: int, step: Step) -> None:
    bus, service = ServiceBus(url), echoing("shop")
    if step is not opening:
        await bus.open()
    task = asyncio.create_task(step(bus, service))
    for _ in range(passes):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=LONG)
    assert task.done()
    if step is opening and task.cancelled():
        assert bus.loop is None, "a cancelled open() opens nothing"
    await bus.close()
    assert await works(bus, service)


async def test_a_bus_that_is_closing_serves_nothing_new(url: str) -> None:
    entered = asyncio.Event()
    service, late = Service("shop"), echoing("late")

    @service.handler("wait")
    async def wait(message: dict[str, object]) -> None:
        entered.set()
        await asyncio.sleep(LONG)

    async with ServiceBus(url) as caller:
        bus = ServiceBus(url)
        await bus.open()
        served = bus.serving(service)
        await served.__aenter__()
        call = asyncio.create_task(caller.call(CHANNEL, {"type": "wait"}, timeout=LONG))
        await entered.wait()
        closing = asyncio.create_task(bus.close())
        await asyncio.sleep(0)
        with pytest.raises(ConfigurationError, match="closed meanwhile"):
            async with bus.serving(late):
                pytest.fail("the block was entered")
        call.cancel()
        await closing
        await asyncio.gather(call, return_exceptions=True)
        await served.__aexit__(None, None, None)


FORGOTTEN = """
import asyncio, sys
from servicebus import Service, ServiceBus

bus, service = ServiceBus(sys.argv[1]), Service("shop")

@service.handler("echo")
async def echo(message):
    return message

async def never_closed():
    await bus.open()
    await bus.workers("shop.request")

async def works():
    async with bus, bus.serving(service):
        print(await bus.call("shop.request", {"type": "echo"}, timeout=30.0))

asyncio.run(never_closed())
if sys.argv[2] == "close":
    asyncio.run(bus.close())
    assert bus.loop is None
asyncio.run(works())
"""
"""A program of its own: Python warns of the connections that nothing closed when it collects them."""


@pytest.mark.parametrize("end", ["open", "close"])
def test_a_bus_whose_loop_was_closed_can_be_opened_again(server: Server, end: str) -> None:
    for url in ("memory://", server.url):
        ended = subprocess.run(
            [sys.executable, "-W", "ignore::ResourceWarning", "-c", FORGOTTEN, url, end],
            capture_output=True,
            text=True,
            timeout=PROGRAM_WITHIN,
            check=False,
        )
        assert (ended.stdout, ended.stderr, ended.returncode) == ("{'type': 'echo'}\n", "", 0)


def test_another_loop_cannot_break_the_bus_of_its_owner(url: str) -> None:
    async def owner() -> None:
        async with ServiceBus(url) as bus, bus.serving(echoing("shop")):

            async def from_elsewhere() -> None:
                for use in (bus.close, lambda: bus.workers(CHANNEL), lambda: bus.wait_for_workers(CHANNEL)):
                    with pytest.raises(ConfigurationError, match="belongs to the event loop that opened it"):
                        await use()

            await asyncio.to_thread(asyncio.run, from_elsewhere())
            assert await bus.call(CHANNEL, {"type": "echo"}, timeout=LONG) == {"type": "echo"}

    asyncio.run(owner())


async def test_a_forked_child_cannot_break_the_bus_of_its_parent(url: str) -> None:
    async with ServiceBus(url) as bus, bus.serving(echoing("shop")):
        child = os.fork()
        if child == 0:
            os._exit(0 if all(refused(use) for use in (bus.close, lambda: bus.workers(CHANNEL))) else 1)
        ended: list[tuple[int, int]] = []

        def has_ended() -> bool:
            ended.append(os.waitpid(child, os.WNOHANG))
            return ended[-1][0] == child

        await eventually(has_ended)
        assert ended[-1][1] == 0
        assert await bus.call(CHANNEL, {"type": "echo"}, timeout=LONG) == {"type": "echo"}


def refused(use: Callable[[], Coroutine[Any, Any, object]]) -> bool:
    async def work() -> bool:
        try:
            await use()
        except ConfigurationError as error:
            return "before a fork" in str(error)
        return False

    return asyncio.run(work())
