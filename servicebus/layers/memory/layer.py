"""``MemoryLayer``: a bus's view of a hub."""

from __future__ import annotations

import asyncio
import logging

from ...errors import Unavailable
from ...protocol.credit import Budget
from ..delivery import Delivery
from ..layer import Ability, Sink
from ..limits import CapacityOf, Limits
from .consumer import MemoryConsumer
from .hub import Hub

logger = logging.getLogger(__name__)


class MemoryLayer:
    """A bus's view of a hub. See ``Layer`` for the contract of each method. No coroutine here ever waits."""

    abilities = frozenset(Ability)

    def __init__(self, hub: Hub, limits: Limits) -> None:
        self._hub = hub
        # Both parts of the hub's clock, here for the shortest way.
        self._monotonic = hub.clock.monotonic
        self._epoch_ms = hub.clock.epoch_ms
        self._expiry = limits.expiry
        self._capacity = CapacityOf(limits)
        # What was pushed in this tick of the loop. ``_flush`` gives it to the hub in the next one.
        self._outbox: list[Delivery] = []
        # The consumers of this bus that are not stopped, and some that are.
        self._consumers: list[MemoryConsumer] = []
        self._closed = False

    def fence_of(self, channel: str) -> int:
        return 0

    def now_ms(self) -> int:
        return int(self._epoch_ms + self._monotonic() * 1000)

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        for consumer in self._consumers:
            await consumer.stop()
        self._flush()
        self._closed = True

    def push(self, delivery: Delivery) -> None:
        if self._closed:
            delivery.settle(Unavailable("the bus was closed before the message was sent"))
            return
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox.append(delivery)

    def _flush(self) -> None:
        now = self._monotonic()
        expires = now + self._expiry
        touched: set[str] = set()
        deliveries, self._outbox = self._outbox, []
        for delivery in deliveries:
            try:
                delivery.settle(self._hub.put(delivery, self._capacity(delivery.channel), expires, now))
            except Exception:
                logger.exception("a delivery to %s could not take its outcome", delivery.channel)
            touched.add(delivery.channel)
        for channel in touched:
            for reader in self._hub.readers(channel):
                reader.wake_from(self._loop)

    async def withdraw(self, *deliveries: Delivery) -> list[Delivery]:
        unwanted = set(map(id, deliveries))
        unsent = [delivery for delivery in self._outbox if id(delivery) in unwanted]
        self._outbox = [delivery for delivery in self._outbox if id(delivery) not in unwanted]
        return unsent + self._hub.remove(delivery for delivery in deliveries if delivery.place)

    def consume(self, channel: str, sink: Sink, credit: Budget, *, worker_id: str = "") -> MemoryConsumer:
        consumer = MemoryConsumer(self._hub, channel, sink, credit, worker_id)
        self._consumers = [reader for reader in self._consumers if not reader.stopped]
        self._consumers.append(consumer)
        self._hub.add(channel, consumer)
        return consumer

    async def leave(self, channel: str, worker_id: str) -> None:
        self._hub.leave(channel, worker_id)

    async def workers(self, channel: str) -> int:
        return len(self._hub.worker_ids(channel))

    async def worker_ids(self, channel: str) -> list[str]:
        return self._hub.worker_ids(channel)

    async def subscribe(self, group: str, channel: str) -> None:
        self._hub.subscribe(group, channel)

    def unsubscribe(self, group: str, channel: str) -> None:
        self._hub.unsubscribe(group, channel, self._expiry)

    async def subscribers(self, group: str) -> list[str]:
        return self._hub.subscribers(group)
