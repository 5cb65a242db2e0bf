"""The examples in docs/topics/channels.md run as they stand there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from textwrap import indent
from typing import Any

import pytest
from channels.consumer import AsyncConsumer
from channels.layers import channel_layers
from channels.routing import ChannelNameRouter, ProtocolTypeRouter
from django.conf import settings as django_settings
from django.test.utils import override_settings

from servicebus import Request, Service, ServiceBus

from ...support.processes import ROOT
from ...support.running_worker import runworker
from ...support.timing import eventually


class Stock(Request[dict[str, Any]], tag="stock"):
    sku: str


class Reserve(Request[str], tag="reserve"):
    order_id: str
    units: int


def inventory() -> Service:
    service = Service("inventory")

    @service.handler
    async def reserve(request: Reserve) -> str:
        return request.order_id

    @service.handler
    async def stock(request: Stock) -> dict[str, Any]:
        return {"sku": request.sku, "units": 3}

    @service.on("orders.placed")
    async def placed(event: dict[str, Any]) -> None: ...

    return service


def examples() -> dict[str, str]:
    """The Python blocks of the page, by what they are about."""
    page = (ROOT / "docs" / "topics" / "channels.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page.partition("## The bus on any layer")[2], re.DOTALL)
    return dict(zip(["settings", "call", "routes", "desk", "shelf"], blocks, strict=True))


def run(name: str, **names: Any) -> dict[str, Any]:
    """Run one of them; the names that it has made."""
    exec(compile(examples()[name], f"channels.md: {name}", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    # In a run of the whole suite the conftest of the services has configured Django.
    if not django_settings.configured:
        django_settings.configure()
    with override_settings(CHANNEL_LAYERS=run("settings")["CHANNEL_LAYERS"]):
        yield


@pytest.fixture
async def bus() -> AsyncIterator[ServiceBus]:
    async with ServiceBus("django://", service="tests") as opened:
        yield opened


async def test_the_call_on_any_layer() -> None:
    names: dict[str, Any] = {"ServiceBus": ServiceBus, "Reserve": Reserve, "service": inventory()}
    exec("async def example():\n" + indent(examples()["call"], "    "), names)
    await names["example"]()


async def test_the_routes_for_runworker(bus: ServiceBus) -> None:
    made = run(
        "routes", ProtocolTypeRouter=ProtocolTypeRouter, ChannelNameRouter=ChannelNameRouter, service=inventory()
    )
    router = made["application"].application_mapping["channel"].application_mapping
    async with runworker(channel_layers["default"], router):
        assert await bus.call("inventory.request", Reserve(order_id="o-1", units=2)) == "o-1"


async def test_the_desk_that_asks(bus: ServiceBus) -> None:
    heard: list[dict[str, Any]] = []

    async def hear(_: Any, message: dict[str, Any]) -> None:
        heard.append(message)

    desk = run("desk", AsyncConsumer=AsyncConsumer)["Desk"]
    desk.reply = desk.error = hear
    layer = channel_layers["default"]
    async with bus.serving(inventory()), runworker(layer, {"desk": desk.as_asgi()}):
        await layer.send("desk", {"type": "ask", "sku": "A"})
        await eventually(lambda: heard == [{"type": "reply", "body": {"sku": "A", "units": 3}}])


async def test_the_shelf_that_answers(bus: ServiceBus) -> None:
    shelf = run("shelf", AsyncConsumer=AsyncConsumer)["Shelf"]
    async with runworker(channel_layers["default"], {"shelf.request": shelf.as_asgi()}):
        assert await bus.call("shelf.request", Stock(sku="A")) == {"sku": "A", "units": 7}
        assert await bus.call("shelf.request", {"type": "stock", "sku": "B"}) == {"sku": "B", "units": 7}
