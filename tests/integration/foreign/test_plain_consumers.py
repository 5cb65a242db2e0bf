"""A consumer that knows nothing of the bus calls a service, and serves a call, with what Channels gives it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from channels.consumer import AsyncConsumer
from channels.layers import channel_layers

from servicebus import Request, ServiceBus
from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import Server

from ...support.running_worker import runworker
from ...support.shop import (
    CHANNEL,
    Closed,
    calling,
    counter,
)
from ...support.timing import MS


class Units(msgspec.Struct):
    sku: str
    units: int


class Stock(Request[Units], tag="stock"):
    sku: str


class Desk(AsyncConsumer):  # type: ignore[misc] # channels has no types
    """Asks the shop on behalf of the sender of a message, and keeps what it hears."""

    heard: asyncio.Queue[dict[str, Any]]

    async def ask(self, message: dict[str, Any]) -> None:
        await self.channel_layer.send(CHANNEL, {**message["request"], "reply_channel": self.channel_name})

    async def reply(self, message: dict[str, Any]) -> None:
        await self.heard.put(message)

    async def error(self, message: dict[str, Any]) -> None:
        await self.heard.put(message)


class Shelf(AsyncConsumer):  # type: ignore[misc] # channels has no types
    """Serves ``stock`` by hand."""

    async def stock(self, message: dict[str, Any]) -> None:
        sku = message["body"]["sku"]
        answer: dict[str, Any] = {"type": "reply", "body": {"sku": sku, "units": 7}}
        if sku == "B":
            answer = {"type": "error", "code": "tests_shop_closed", "executed": "yes", "details": {"until": "noon"}}
        await self.channel_layer.send(message["reply_channel"], answer)


def on(alias: str, consumer: type[AsyncConsumer], **attributes: Any) -> Any:
    """The application of a consumer on that alias."""
    made: Any = type(consumer.__name__, (consumer,), {"channel_layer_alias": alias, **attributes})
    return made.as_asgi()


async def test_a_plain_consumer_calls_a_service_and_hears_its_reply_or_error(alias: str, layer: Any) -> None:
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with calling(f"django://{alias}", counter()), runworker(layer, {"desk": on(alias, Desk, heard=heard)}):
        order = {"type": "reserve", "order_id": "o-1", "lines": [{"sku": "A", "quantity": 2}]}
        await layer.send("desk", {"type": "ask", "request": order})
        async with asyncio.timeout(5000 * MS):
            assert await heard.get() == {"type": "reply", "body": {"order_id": "o-1", "units": 2}}
            await layer.send("desk", {"type": "ask", "request": {**order, "lines": []}})
            error = await heard.get()
            assert (error["type"], error["code"], error["executed"]) == ("error", "sold_out", "yes")
            assert error["details"] == {"sku": "A", "available": 3}
            await layer.send("desk", {"type": "ask", "request": {"type": "juggle"}})
            assert (await heard.get())["code"] == "unknown_operation"


async def test_a_plain_consumer_serves_a_call_and_fails_it(alias: str, layer: Any) -> None:
    async with calling(f"django://{alias}") as bus, runworker(layer, {"shelf.request": on(alias, Shelf)}):
        if alias_is_ours(layer):
            await bus.wait_for_workers("shelf.request")
        assert await bus.call("shelf.request", Stock(sku="A")) == Units("A", 7)
        with pytest.raises(Closed) as error:
            await bus.call("shelf.request", Stock(sku="B"))
        assert error.value.until == "noon"


async def test_a_plain_consumer_on_our_layer_is_a_worker_for_calls_of_any_bus(server: Server) -> None:
    layer = RedisChannelLayer(hosts=[server.url])
    channel_layers.set("shelf", layer)
    async with ServiceBus(server.url) as bus:
        async with runworker(layer, {"shelf.request": on("shelf", Shelf)}):
            await bus.wait_for_workers("shelf.request")
            assert await bus.workers("shelf.request") == 1
            assert await bus.call("shelf.request", Stock(sku="A")) == Units("A", 7)
        await layer.close_pools()
        assert await bus.workers("shelf.request") == 0
    channel_layers.backends.pop("shelf")


def alias_is_ours(layer: Any) -> bool:
    """Only there a worker must be present before it is called."""
    return getattr(layer, "native", None) is not None
