"""Workers that find out how many messages they had best hold at once."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

import pytest

from servicebus import Adaptive, RemoteError, Service, ServiceBus, ServiceBusError, ServiceError, Shedding
from servicebus.testing.servers import Server

from ...support.shop import CHANNEL
from ...support.timing import MS, eventually

PLACES, TAKES = 4, 10 * MS
CAN_DO = PLACES / TAKES
OFFERED = 2 * CAN_DO
WARM_UP, MEASURED = 1.0, 1.5
MAX_HELD = 256
RUNS = 4
"""Runs of each kind, at most: until one was not disturbed."""


def sharing(**options: Any) -> Service:
    """Its handlers share a few places: all they do takes one, and who finds none waits in turn."""
    service, place = Service("shop", **options), asyncio.Semaphore(PLACES)

    @service.handler("work")
    async def work(message: dict[str, Any]) -> None:
        async with place:
            await asyncio.sleep(TAKES)

    return service


@dataclass
class Seen:
    """Of the calls that were answered: how many in a second, how long they took at the median, and the credit then."""

    goodput: float
    p50: float
    credit: int


async def twice_the_load(url: str, service: Service) -> Seen:
    """What callers see who make twice as many calls as can be done."""
    took, pending = list[float](), set[asyncio.Task[None]]()

    async def call() -> None:
        begin = time.monotonic()
        with suppress(ServiceBusError):
            await bus.call(CHANNEL, {"type": "work"}, timeout=5.0)
            took.append(time.monotonic() - begin)

    async def offer(seconds: float) -> None:
        begin, made = time.monotonic(), 0
        while (passed := time.monotonic() - begin) < seconds:
            for _ in range(int(OFFERED * passed) - made):
                task = asyncio.create_task(call())
                pending.add(task)
                task.add_done_callback(pending.discard)
                made += 1
            await asyncio.sleep(5 * MS)

    async with ServiceBus(url) as worker, ServiceBus(url) as bus:
        async with worker.serving(service, concurrency=MAX_HELD) as serving:
            await offer(WARM_UP)
            took.clear()
            await offer(MEASURED)
            seen = Seen(len(took) / MEASURED, median(took), serving.credit[CHANNEL])
            await asyncio.gather(*pending)
    return seen


async def test_an_adaptive_worker_does_as_much_with_a_fraction_of_the_wait(
    server: Server,
) -> None:
    """With a fixed credit the queue stands in the worker, where nobody sheds it.

    Both in alternation, and the best run of each: other processes take their share of one run and not of the next.
    """
    fixed, adaptive = list[Seen](), list[Seen]()
    for _ in range(RUNS):
        fixed.append(await twice_the_load(server.url, sharing(shedding=Shedding())))
        adaptive.append(await twice_the_load(server.url, sharing(shedding=Shedding(), adaptive=Adaptive())))
        if most(adaptive) >= 0.85 * most(fixed):
            break
    assert {seen.credit for seen in fixed} == {MAX_HELD}
    assert all(PLACES <= seen.credit <= 8 * PLACES for seen in adaptive), adaptive
    assert most(adaptive) >= 0.85 * most(fixed), (adaptive, fixed)
    assert min(seen.p50 for seen in adaptive) <= min(seen.p50 for seen in fixed) / 4, (adaptive, fixed)


def most(runs: list[Seen]) -> float:
    return max(seen.goodput for seen in runs)


async def test_work_that_keeps_the_event_loop_busy_is_done_one_by_one(url: str) -> None:
    service = Service("shop", adaptive=Adaptive())

    @service.handler("work")
    async def work(message: dict[str, Any]) -> None:
        time.sleep(4 * MS)  # noqa: ASYNC251 - this is the point

    async with ServiceBus(url) as bus, bus.serving(service, concurrency=MAX_HELD) as serving:
        for _ in range(8):
            await asyncio.gather(*(bus.call(CHANNEL, {"type": "work"}, timeout=10.0) for _ in range(50)))
        assert serving.credit[CHANNEL] <= 16


async def test_after_a_lower_limit_only_messages_asked_for_before_still_come(
    server: Server,
) -> None:
    service, go_on, started = Service("shop"), asyncio.Semaphore(0), list[int]()

    @service.handler("work")
    async def work(message: dict[str, Any]) -> None:
        started.append(message["n"])
        await go_on.acquire()

    async with ServiceBus(server.url) as worker, ServiceBus(server.url) as bus:
        async with worker.serving(service, concurrency=10) as serving:
            await asyncio.sleep(50 * MS)  # it asks for ten
            credit = serving._credits[CHANNEL]
            credit.change(2)
            # What comes while something else is on its way leaves together.
            sending = [bus.send("elsewhere", {"type": "work"})]
            sending += [bus.send(CHANNEL, {"type": "work", "n": n}) for n in range(20)]
            await asyncio.gather(*sending)
            await eventually(lambda: len(started) == credit.held == 10)
            for _ in range(8):
                go_on.release()
            await eventually(lambda: credit.held == 2)
            await asyncio.sleep(50 * MS)
            assert (len(started), credit.held, credit.available) == (10, 2, 0)
            for _ in range(12):
                go_on.release()
            await eventually(lambda: started == list(range(20)))


async def test_what_fails_at_once_does_not_count_as_fast(url: str) -> None:
    service = Service("shop", adaptive=Adaptive())

    @service.handler("work")
    async def work(message: dict[str, Any]) -> None:
        raise ValueError("as ordered")

    async with ServiceBus(url) as bus, bus.serving(service) as serving:
        for _ in range(30):
            with pytest.raises(ServiceBusError):
                await bus.call(CHANNEL, {"type": "work"})
            await asyncio.sleep(10 * MS)
        assert serving.credit == {CHANNEL: 1}


async def test_each_channel_has_its_own_credit_by_default_the_concurrency(url: str) -> None:
    for adaptive, least in ((Adaptive(least=3), 3), (None, 7)):
        service = Service("shop", adaptive=adaptive)

        @service.on("placed")
        async def on_placed(event: dict[str, Any]) -> None: ...

        async with ServiceBus(url) as bus, bus.serving(service, concurrency=7) as serving:
            await eventually(lambda serving=serving: len(serving.credit) == 2)  # type: ignore[misc]
            assert serving.credit == {CHANNEL: least, "shop.events": least}


async def test_an_error_of_the_contract_is_work_like_any_other(server: Server) -> None:
    class OutOfStock(ServiceError, code="out_of_stock"):
        available: int

    service = Service("shop", adaptive=Adaptive())

    @service.handler("work")
    async def work(message: dict[str, Any]) -> None:
        await asyncio.sleep(TAKES)
        raise OutOfStock(available=0)

    async with ServiceBus(server.url) as bus, bus.serving(service, concurrency=MAX_HELD) as serving:
        assert serving.credit == {CHANNEL: 1}

        async def call() -> None:
            with pytest.raises(RemoteError, match="out_of_stock"):
                await bus.call(CHANNEL, {"type": "work"})

        await asyncio.gather(*(call() for _ in range(200)))
        assert serving.credit[CHANNEL] > 8
