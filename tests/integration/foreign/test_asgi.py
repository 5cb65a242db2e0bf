"""A Service as an ASGI application under Channels' worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from channels.layers import channel_layers

from servicebus import ConfigurationError, Context, Service, ServiceBus, WorkerLost
from servicebus.config import DEFAULT_CONCURRENCY
from servicebus.contrib import asgi
from servicebus.contrib.asgi import as_asgi

from ...support.running_worker import runworker
from ...support.shop import (
    CHANNEL,
    Count,
    Line,
    Placed,
    Reserve,
    Reserved,
    counter,
)
from ...support.timing import MS, eventually


@pytest.fixture(autouse=True)
def default(layer: Any) -> Iterator[None]:
    """The layer under test is the one that a Service under ``runworker`` speaks through."""
    before = channel_layers.set("default", layer)
    yield
    channel_layers.backends.pop("default")
    if before is not None:
        channel_layers.set("default", before)
    assert not any(asgi._hosts.values()), "left behind: a host"


@pytest.fixture
async def bus(alias: str) -> Any:
    async with ServiceBus(f"django://{alias}", service="tests") as opened:
        yield opened


def applications(service: Service, **options: Any) -> dict[str, Any]:
    application = as_asgi(service, **options)
    return {service.request_channel: application, service.events_channel: application}


async def test_a_service_is_served_by_runworker(bus: ServiceBus, layer: Any) -> None:
    async with runworker(layer, applications(counter())):
        await bus.wait_for_workers(CHANNEL)
        assert await bus.call(CHANNEL, Reserve(order_id="o-1", lines=[Line("A", 2)])) == Reserved("o-1", 2)
        assert await bus.gather(*((CHANNEL, Count(upto=n)) for n in range(50))) == list(range(50))
        assert await bus.call(CHANNEL, {"type": "plain"}) == "tests"


async def test_a_handler_under_runworker_calls_another_service_and_publishes(bus: ServiceBus, layer: Any) -> None:
    front, heard = Service("front"), list[str]()

    @front.handler("order")
    async def order(message: dict[str, Any], context: Context) -> Any:
        await context.bus.publish("orders.placed", Placed(context.correlation_id))
        return await context.bus.call(CHANNEL, Count(upto=3))

    @front.on("orders.placed")
    async def placed(event: Placed) -> None:
        heard.append(event.order_id)

    async with runworker(layer, {**applications(front), **applications(counter())}):
        await bus.wait_for_workers("front.request", CHANNEL)
        assert await bus.call("front.request", {"type": "order"}) == 3
        await eventually(lambda: len(heard) == 1)


async def test_what_runs_every_now_and_then_runs_once_in_a_process(bus: ServiceBus, layer: Any) -> None:
    service, runs = counter(), list[ServiceBus]()

    @service.every(0.05)
    async def tick(bus: ServiceBus) -> None:
        runs.append(bus)

    async with runworker(layer, applications(service)):
        await bus.wait_for_workers(CHANNEL)
        await bus.call(CHANNEL, Count(upto=1))
        await bus.publish("orders.placed", Placed("o-1"))
        await eventually(lambda: len(runs) >= 3)
        assert len(asgi._hosts[service]) == 1
        assert len(set(map(id, runs))) == 1
    ended = len(runs)
    await asyncio.sleep(100 * MS)
    assert len(runs) == ended


async def test_an_instance_that_is_ended_drains(bus: ServiceBus, layer: Any) -> None:
    service, started, done = Service("slow"), asyncio.Event(), list[int]()

    @service.handler("wait")
    async def wait(message: dict[str, Any]) -> int:
        started.set()
        await asyncio.sleep(200 * MS)
        done.append(1)
        return 1

    async with runworker(layer, applications(service)) as worker:
        await bus.wait_for_workers("slow.request")
        calling = asyncio.create_task(bus.call("slow.request", {"type": "wait"}))
        await started.wait()
        await worker.end_instances()
        assert done == [1]
        assert await calling == 1
        assert await bus.call("slow.request", {"type": "wait"}) == 1, "the next message makes an instance again"


async def test_a_handler_that_outlasts_the_drain_is_a_lost_worker(bus: ServiceBus, layer: Any) -> None:
    service, started = Service("slow"), asyncio.Event()

    @service.handler("wait")
    async def wait(message: dict[str, Any]) -> None:
        started.set()
        await asyncio.Event().wait()

    async with runworker(layer, applications(service, drain=20 * MS)) as worker:
        await bus.wait_for_workers("slow.request")
        calling = asyncio.create_task(bus.call("slow.request", {"type": "wait"}))
        await started.wait()
        await worker.end_instances()
        with pytest.raises(WorkerLost):
            await calling


async def test_no_message_is_received_without_credit(layer: Any) -> None:
    service, release, received = Service("busy"), asyncio.Event(), list[int]()

    @service.handler("wait")
    async def wait(message: dict[str, Any]) -> None:
        await release.wait()

    async def receive() -> dict[str, Any]:
        received.append(1)
        await asyncio.sleep(0)
        return {"type": "wait"}

    instance = asyncio.ensure_future(as_asgi(service)({"type": "channel", "channel": "busy.request"}, receive, None))
    await eventually(lambda: len(received) == DEFAULT_CONCURRENCY)
    await asyncio.sleep(20 * MS)
    assert len(received) == DEFAULT_CONCURRENCY
    release.set()
    await eventually(lambda: len(received) > DEFAULT_CONCURRENCY)
    instance.cancel()
    await asyncio.gather(instance, return_exceptions=True)


async def test_messages_that_are_none_are_passed_over(bus: ServiceBus) -> None:
    messages: asyncio.Queue[Any] = asyncio.Queue()
    for message in ["no dict", {"type": "echo", "value": object()}, {"no": "type"}]:
        messages.put_nowait(message)
    name = await channel_layers["default"].new_channel()
    messages.put_nowait({"type": "count", "body": {"upto": 7}, "reply_channel": name})
    instance = asyncio.ensure_future(as_asgi(counter())({"type": "channel", "channel": CHANNEL}, messages.get, None))
    async with asyncio.timeout(5000 * MS):
        assert await channel_layers["default"].receive(name) == {"type": "reply", "body": 7}
    instance.cancel()
    await asyncio.gather(instance, return_exceptions=True)


@pytest.mark.parametrize(
    ("scope", "complaint"),
    [
        ({"type": "http"}, r"'channel', not 'http'.*ProtocolTypeRouter"),
        ({"type": "channel", "channel": "stock.request"}, "serves shop.request and shop.events, not 'stock.request'"),
    ],
)
async def test_another_scope_is_refused_with_what_to_do(scope: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        await as_asgi(counter())(scope, asyncio.Queue[Any]().get, None)


async def test_an_instance_that_cannot_open_its_bus_fails_and_the_next_retries(bus: ServiceBus, layer: Any) -> None:
    channel_layers.backends.pop("default")
    with pytest.raises(ConfigurationError, match="add 'default'"):
        await as_asgi(counter())({"type": "channel", "channel": CHANNEL}, asyncio.Queue[Any]().get, None)
    channel_layers.set("default", layer)
    async with runworker(layer, applications(counter())):
        await bus.wait_for_workers(CHANNEL)
        assert await bus.call(CHANNEL, Count(upto=1)) == 1


async def test_an_instance_that_is_cancelled_while_it_opens_leaves_nothing(layer: Any) -> None:
    for ticks in range(6):
        instance = asyncio.ensure_future(
            as_asgi(counter())({"type": "channel", "channel": CHANNEL}, asyncio.Queue[Any]().get, None)
        )
        for _ in range(ticks):
            await asyncio.sleep(0)
        instance.cancel()
        await asyncio.gather(instance, return_exceptions=True)
        assert not any(asgi._hosts.values())
