from __future__ import annotations

import asyncio
from typing import Any

from servicebus import (
    Service,
    ServiceBus,
)
from servicebus.testing.servers import Server

from ...support.shop import Placed, calling
from ...support.timing import MS, eventually


def subscriber(name: str, seen: list[tuple[str, Any]]) -> Service:
    service = Service(name)

    @service.on("orders.placed")
    async def on_placed(event: Placed) -> None:
        seen.append((name, event.order_id))

    @service.on("orders.untyped")
    def on_untyped(event: dict[str, Any]) -> None:
        seen.append((name, event))

    return service


async def test_each_subscribing_service_gets_one_copy_of_an_event(url: str) -> None:
    seen: list[tuple[str, Any]] = []
    async with calling(url, subscriber("a", seen), subscriber("b", seen), Service("c")) as bus:
        async with calling(url, subscriber("a", seen)):
            for number in range(10):
                await bus.publish("orders.placed", Placed(str(number)))
            await bus.publish("orders.untyped", {"n": 1})
            await eventually(lambda: len(seen) >= 22)
            await asyncio.sleep(20 * MS)
    for name in "ab":
        got = [event for service, event in seen if service == name]
        assert sorted(got, key=str) == [*map(str, range(10)), {"n": 1}]


async def test_an_event_that_nobody_subscribed_to_is_no_error(url: str) -> None:
    async with ServiceBus(url) as bus:
        await bus.publish("orders.placed", Placed("o-1"))


async def test_a_full_subscriber_misses_an_event_and_others_get_it(url: str) -> None:
    seen: list[tuple[str, Any]] = []
    blocked = Service("blocked")
    started, release = asyncio.Event(), asyncio.Event()

    @blocked.on("orders.placed")
    async def on_placed(event: Placed) -> None:
        started.set()
        await release.wait()

    async with ServiceBus(url, channel_capacity={"blocked.*": 2}) as bus, ServiceBus(url) as worker:
        async with worker.serving(blocked, concurrency=1), worker.serving(subscriber("b", seen)):
            for number in range(10):
                await bus.publish("orders.placed", Placed(str(number)))
                await started.wait()
            await eventually(lambda: len(seen) == 10)
            assert bus.counters.full_subscribers == 7
            release.set()


async def test_an_event_handler_that_fails_does_not_disturb_the_others(url: str) -> None:
    seen: list[tuple[str, Any]] = []
    failing = Service("failing")

    @failing.on("orders.placed")
    async def on_placed(event: Placed) -> None:
        raise ValueError("broken")

    async with calling(url, failing, subscriber("b", seen)) as bus:
        for number in range(3):
            await bus.publish("orders.placed", Placed(str(number)))
        await eventually(lambda: len(seen) == 3)


FOREVER = 4_000_000_000_000
"""Milliseconds: an instant that no test lives to see."""


async def test_members_that_are_no_subscribers_spoil_no_event(server: Server) -> None:
    seen: list[tuple[str, Any]] = []
    asked: list[Any] = []
    victim = Service("victim")
    victim.handler("orders.placed")(asked.append)
    wrong = [b"\xff", b"", b"a\r\nb", b"x" * 2_000_000, b"a b", b"victim.request", b"response.a.b!c", b"b!"]
    async with calling(server.url, subscriber("a", seen), victim) as bus:
        for name in wrong:
            server.run("ZADD", "asgi:group:{orders.placed}", str(FOREVER), name)
        await bus.publish("orders.placed", Placed("1"))
        await eventually(lambda: bool(seen))
        await bus.call("victim.request", {"type": "orders.placed", "body": "last"})
    assert seen == [("a", "1")]
    assert len(asked) == 1


async def test_worker_ids_that_nobody_has_count_for_nothing(server: Server) -> None:
    wrong = [b"\xff", b"", b"a\r\nb", b"x" * 2_000_000, b"w@", b"w@jobs", b"w@\xff!"]
    cancelled = asyncio.Event()
    service = Service("shop")

    @service.handler("wait")
    async def wait(message: dict[str, Any]) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    started = asyncio.Event()
    async with calling(server.url, service) as bus:
        for name in wrong:
            server.run("ZADD", "asgi:{shop.request}:workers", str(FOREVER), name)
        assert await bus.workers("shop.request") == 1
        call = asyncio.create_task(bus.call("shop.request", {"type": "wait"}))
        await started.wait()
        call.cancel()
        async with asyncio.timeout(30):
            await cancelled.wait()
