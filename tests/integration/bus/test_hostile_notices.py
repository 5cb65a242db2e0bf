"""Control messages that somebody made up, in the inbox of a worker: they end nothing and cost next to nothing."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from servicebus import Service, ServiceBus
from servicebus.calling.deliveries import CancelNotice

from ...support.timing import eventually

LARGE = 420_000
"""Bytes of a message that once made a worker build gigabytes."""
NOTICES: dict[str, Any] = {
    "the empty name": {"prefix": "", "calls": [""]},
    "the empty name among others": {"prefix": "", "calls": ["response.a.b!c", ""]},
    "no calls": {"prefix": "", "calls": []},
    "names without a prefix": {"prefix": "", "calls": ["shop.request", "shop.events"]},
    "a prefix alone": {"prefix": "response.tests.4f2a!", "calls": [""]},
    "a long prefix and many calls": {"prefix": "x" * (LARGE // 2), "calls": [""] * (LARGE // 2)},
    "numbers": {"prefix": 0, "calls": [0]},
    "no fields": {},
}


class Shop:
    """A service whose handlers wait until they are released, and what became of them."""

    def __init__(self) -> None:
        self.service = Service("shop")
        self.started, self.done = 0, 0
        self.release = asyncio.Event()
        self.service.handler("work")(self._work)
        self.service.on("shop.opened")(self._work)

    async def _work(self, message: dict[str, Any]) -> None:
        self.started += 1
        await self.release.wait()
        self.done += 1


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[ServiceBus, Shop]]:
    shop = Shop()
    async with ServiceBus(url, max_message_size=2**20) as bus, bus.serving(shop.service):
        yield bus, shop


def push(bus: ServiceBus, fields: Any) -> None:
    """Put a cancel notice with these fields into the inbox of the bus."""
    frame = msgspec.msgpack.encode([0, 2**63, "+cancel", {"type": "+cancel", **fields}])
    inbox = bus.session.caller.inbox.name
    bus.session.layer.push(CancelNotice(inbox, frame))


@pytest.mark.parametrize("name", NOTICES)
async def test_a_notice_that_names_no_call_ends_nothing(url: str, name: str) -> None:
    async with opened(url) as (bus, shop):
        await bus.send("shop.request", {"type": "work"})
        await bus.publish("shop.opened", {})
        await eventually(lambda: shop.started == 2)
        push(bus, NOTICES[name])
        await eventually(lambda: bus.counters.rejected_frames == 1)
        await bus.send("shop.request", {"type": "work"})
        await eventually(lambda: shop.started == 3)
        shop.release.set()
        await eventually(lambda: shop.done == 3)
        assert bus.counters.cancelled == 0


async def test_a_notice_that_multiplies_names_builds_none_of_them(url: str) -> None:
    async with opened(url) as (bus, _):
        tracemalloc.start()
        try:
            push(bus, NOTICES["a long prefix and many calls"])
            await eventually(lambda: bus.counters.rejected_frames == 1)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 20 * LARGE
