"""The layer of one process: what tests and services run on that have not been split yet.

Delivery guarantee: at most once, FIFO per channel, capacity and expiry as on Redis. Everything lives in a ``Hub``;
``memory://`` and ``memory://name`` each name one hub of the process. Loops in several threads may share a hub.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import deque
from dataclasses import dataclass
from threading import Lock

from ..errors import ChannelFull, NoWorkers, ServiceBusError, Unavailable
from ..protocol.credit import Budget
from .delivery import Delivery
from .layer import Ability, Sink
from .limits import CapacityOf, Limits

SWEEP_EVERY = 64

_EPOCH_MS = (time.time() - time.monotonic()) * 1000


@dataclass(slots=True)
class Subscription:
    """A channel in a group: how many keep it there, and when it ends once nobody does."""

    keepers: int = 0
    ends: float = 0.0

    def holds(self) -> bool:
        return self.keepers > 0 or self.ends > time.monotonic()


class Hub:
    """The channels of one ``memory://`` name. Its lock is held for single steps only, never across a callback."""

    _named: dict[str, Hub] = {}  # noqa: RUF012
    _lock_of_names = Lock()

    def __init__(self) -> None:
        self.lock = Lock()
        self.queues: dict[str, deque[tuple[float, bytes]]] = {}
        self.consumers: dict[str, list[MemoryConsumer]] = {}
        self.groups: dict[str, dict[str, Subscription]] = {}
        self._came = 0

    @classmethod
    def named(cls, name: str) -> Hub:
        """The hub of that name, made on first use."""
        with cls._lock_of_names:
            return cls._named.setdefault(name, cls())

    def workers(self, channel: str) -> int:
        """How many workers read the channel. The caller holds the lock."""
        return sum(reader.is_worker for reader in self.consumers.get(channel, ()))

    def put(self, delivery: Delivery, capacity: int, expires: float) -> ServiceBusError | None:
        with self.lock:
            if delivery.options.needs_worker and not self.workers(delivery.channel):
                return NoWorkers(delivery.channel, in_process=True)
            queue = self.queues.get(delivery.channel)
            if queue is None:
                self._sweep()
                queue = self.queues[delivery.channel] = deque()
            self._expire(queue)
            if len(queue) >= capacity:
                return ChannelFull(delivery.channel, capacity)
            queue.append((expires, delivery.frame))
            return None

    def take(self, channel: str, count: int) -> list[bytes]:
        with self.lock:
            queue = self.queues.get(channel)
            if queue is None:
                return []
            self._expire(queue)
            frames = [queue.popleft()[1] for _ in range(min(count, len(queue)))]
            if not queue:
                del self.queues[channel]
            return frames

    def remove(self, channel: str, frame: bytes) -> bool:
        with self.lock:
            queue = self.queues.get(channel, deque())
            for position, entry in enumerate(queue):
                if entry[1] == frame:
                    del queue[position]
                    if not queue:
                        del self.queues[channel]
                    return True
            return False

    def _sweep(self) -> None:
        """Now and then, as channels come: those whose messages have all expired go."""
        self._came += 1
        if self._came % SWEEP_EVERY == 0:
            for channel, queue in list(self.queues.items()):
                self._expire(queue)
                if not queue:
                    del self.queues[channel]

    @staticmethod
    def _expire(queue: deque[tuple[float, bytes]]) -> None:
        now = time.monotonic()
        while queue and queue[0][0] <= now:
            queue.popleft()


class MemoryConsumer:
    """Pumps one channel of a hub into a sink, on the loop that made it."""

    def __init__(self, hub: Hub, channel: str, sink: Sink, credit: Budget, worker_id: str) -> None:
        # Messages are handled in the context that serves, not in that of whoever sends, as on every other layer.
        self._hub, self._channel, self._sink, self._credit = hub, channel, sink, credit
        self.worker_id = worker_id
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._scheduled = False
        self.stopped = False
        credit.subscribe(self.wake)
        self.wake()

    @property
    def is_worker(self) -> bool:
        return bool(self.worker_id) and not self._loop.is_closed()

    def wake(self) -> None:
        """Look for messages in the next tick. Loop thread only."""
        if not self._scheduled and not self.stopped:
            self._scheduled = True
            self._loop.call_soon(self._pump, context=self._context)

    def wake_from_anywhere(self, loop: asyncio.AbstractEventLoop) -> None:
        """The same, from a thread that runs ``loop``."""
        if loop is self._loop:
            self.wake()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.wake, context=self._context)

    def _pump(self) -> None:
        self._scheduled = False
        if self.stopped:
            return
        frames = self._hub.take(self._channel, self._credit.available)
        if frames:
            self._credit.take(len(frames))
            self._sink(frames, 0)

    async def ready(self) -> None:
        """At once."""

    async def stop(self) -> None:
        self.stopped = True
        with self._hub.lock:
            readers = self._hub.consumers.get(self._channel, [])
            if self in readers:
                readers.remove(self)
            if not readers:
                self._hub.consumers.pop(self._channel, None)


class MemoryLayer:
    """A bus's view of a hub. See ``Layer`` for the contract of each method."""

    abilities = frozenset(Ability)

    def __init__(self, name: str, limits: Limits) -> None:
        self._hub = Hub.named(name)
        self._limits = limits
        self._capacity = CapacityOf(limits)
        self._outbox: list[Delivery] = []
        self._consumers: list[MemoryConsumer] = []
        self._closed = False

    def fence_of(self, channel: str) -> int:
        return 0

    def now_ms(self) -> int:
        return int(_EPOCH_MS + time.monotonic() * 1000)

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
        expires = time.monotonic() + self._limits.expiry
        touched: set[str] = set()
        deliveries, self._outbox = self._outbox, []
        for delivery in deliveries:
            delivery.settle(self._hub.put(delivery, self._capacity(delivery.channel), expires))
            touched.add(delivery.channel)
        for channel in touched:
            with self._hub.lock:
                readers = list(self._hub.consumers.get(channel, ()))
            for reader in readers:
                reader.wake_from_anywhere(self._loop)

    async def withdraw(self, *deliveries: Delivery) -> list[Delivery]:
        return [delivery for delivery in deliveries if self._taken_back(delivery)]

    def _taken_back(self, delivery: Delivery) -> bool:
        if delivery in self._outbox:
            self._outbox.remove(delivery)
            return True
        return self._hub.remove(delivery.channel, delivery.frame)

    def consume(self, channel: str, sink: Sink, credit: Budget, *, worker_id: str = "") -> MemoryConsumer:
        consumer = MemoryConsumer(self._hub, channel, sink, credit, worker_id)
        self._consumers = [reader for reader in self._consumers if not reader.stopped]
        self._consumers.append(consumer)
        with self._hub.lock:
            self._hub.consumers.setdefault(channel, []).append(consumer)
        return consumer

    async def leave(self, channel: str, worker_id: str) -> None:
        with self._hub.lock:
            for reader in self._hub.consumers.get(channel, ()):
                if reader.worker_id == worker_id:
                    reader.worker_id = ""

    async def workers(self, channel: str) -> int:
        with self._hub.lock:
            return self._hub.workers(channel)

    async def worker_ids(self, channel: str) -> list[str]:
        with self._hub.lock:
            return [reader.worker_id for reader in self._hub.consumers.get(channel, ()) if reader.is_worker]

    async def subscribe(self, group: str, channel: str) -> None:
        with self._hub.lock:
            self._hub.groups.setdefault(group, {}).setdefault(channel, Subscription()).keepers += 1

    def unsubscribe(self, group: str, channel: str) -> None:
        with self._hub.lock:
            subscription = self._hub.groups[group][channel]
            subscription.keepers -= 1
            subscription.ends = time.monotonic() + self._limits.expiry

    async def subscribers(self, group: str) -> list[str]:
        with self._hub.lock:
            members = self._hub.groups.get(group, {})
            for channel in [channel for channel, subscription in members.items() if not subscription.holds()]:
                del members[channel]
            return sorted(members)
