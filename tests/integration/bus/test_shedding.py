"""A worker that is offered more than it can do."""

from __future__ import annotations

import asyncio
from typing import Any

from servicebus import Overloaded, Service, ServiceBus, ServiceBusError, Shedding

from ...support.timing import MS


def slow(shedding: Shedding | None) -> tuple[Service, list[int]]:
    service, ran = Service("shop", shedding=shedding), []

    @service.handler("work")
    async def work(message: dict[str, Any]) -> int:
        ran.append(message["n"])
        await asyncio.sleep(5 * MS)
        return int(message["n"])

    return service, ran


async def offered(url: str, service: Service, count: int, every: float) -> list[int | ServiceBusError]:
    """What became of calls that are made faster than one at a time can be served."""

    async def call(n: int) -> int | ServiceBusError:
        try:
            return int(await bus.call("shop.request", {"type": "work", "n": n}, timeout=5))
        except ServiceBusError as error:
            return error

    async with ServiceBus(url) as worker, ServiceBus(url) as bus, worker.serving(service, concurrency=1):
        calls = []
        for n in range(count):
            calls.append(asyncio.create_task(call(n)))
            await asyncio.sleep(every)
        return await asyncio.gather(*calls)


async def test_a_standing_queue_is_shed_before_the_handler(url: str) -> None:
    service, ran = slow(Shedding(target=10 * MS, interval=50 * MS))
    outcomes = await offered(url, service, 300, 1 * MS)
    shed = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Overloaded)]
    assert len(shed) > 30
    assert all(outcome.executed == "no" for outcome in outcomes if isinstance(outcome, Overloaded))
    assert not set(shed) & set(ran)
    assert sorted([*shed, *ran]) == list(range(300))


async def test_without_shedding_whatever_is_in_time_is_served(url: str) -> None:
    service, ran = slow(None)
    assert await offered(url, service, 100, 1 * MS) == list(range(100))
    assert ran == list(range(100))
