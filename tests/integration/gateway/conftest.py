from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from servicebus import ServiceBus
from servicebus.gateway import Gateway

from ...support.gateway_client import closing
from ...support.gateway_desk import Desk
from ...support.timing import MS


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def bus(url: str, desk: Desk) -> AsyncIterator[ServiceBus]:
    async with ServiceBus(url) as bus, bus.serving(desk.service, concurrency=2, drain=50 * MS):
        yield bus


@pytest.fixture
async def app(bus: ServiceBus) -> AsyncIterator[Gateway]:
    gateway = Gateway(bus, expose=["shop"], forward=["x-tenant", "flag-known"], max_body=1000, body_within=100 * MS)
    async with closing(gateway) as opened:
        yield opened
