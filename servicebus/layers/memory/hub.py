"""The channels, readers and groups of one ``memory://`` name, and the table of all hubs of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from threading import Lock
from typing import Protocol

from ...errors import ChannelFull, NoWorkers, ServiceBusError
from ..delivery import Delivery
from .clock import Clock
from .groups import Groups
from .queues import Queues


class HubReader(Protocol):
    """What a hub knows of a consumer."""

    @property
    def worker_id(self) -> str:
        """The ID under which the reader counts as a worker; "" when it does not count, or its loop is closed."""
        ...

    def deregister(self) -> None:
        """Count as a worker no more."""
        ...

    def wake_from(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look for messages in the next tick of the reader's loop. Called in the thread that runs ``loop``."""
        ...


class Hub:
    """Everything that the layers of one ``memory://`` name share.

    Thread-safe: the lock is held for single steps only, never across a callback.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock.of_process()
        self._lock = Lock()
        self._queues = Queues()
        # The consumers of each channel that are not stopped, in the order in which they came.
        self._readers: dict[str, list[HubReader]] = {}
        self._groups = Groups()

    def put(self, delivery: Delivery, capacity: int, expires: float, now: float) -> ServiceBusError | None:
        """Append the frame of a delivery to its channel, and set its place.

        ``now`` is an instant of the hub's monotonic clock, which the caller reads once for many frames.

        Returns:
            Why the channel did not take it: NoWorkers, ChannelFull, or None.
        """
        channel = delivery.channel
        with self._lock:
            if delivery.options.needs_worker and not any(reader.worker_id for reader in self._readers.get(channel, ())):
                return NoWorkers(channel, in_process=True)
            delivery.place = self._queues.put(channel, delivery.frame, capacity, expires, now)
        return None if delivery.place else ChannelFull(channel, capacity)

    def take(self, channel: str, count: int) -> list[bytes]:
        """Remove and return at most ``count`` frames of a channel, oldest first."""
        with self._lock:
            return self._queues.take(channel, count, self.clock.monotonic())

    def remove(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Remove messages from their channels. Returns the deliveries of those that were still there."""
        with self._lock:
            return [one for one in deliveries if self._queues.remove(one.channel, one.place)]

    def add(self, channel: str, reader: HubReader) -> None:
        """Wake ``reader`` from now on when messages come to ``channel``."""
        with self._lock:
            self._readers.setdefault(channel, []).append(reader)

    def discard(self, channel: str, reader: HubReader) -> None:
        """Wake ``reader`` no more. Idempotent."""
        with self._lock:
            readers = self._readers.get(channel, [])
            if reader in readers:
                readers.remove(reader)
            if not readers:
                self._readers.pop(channel, None)

    def readers(self, channel: str) -> list[HubReader]:
        """Return the readers of a channel, in the order in which they came."""
        with self._lock:
            return list(self._readers.get(channel, ()))

    def read_channels(self) -> list[str]:
        """Return the channels that somebody reads."""
        with self._lock:
            return list(self._readers)

    def worker_ids(self, channel: str) -> list[str]:
        """Return the IDs of the workers that read a channel."""
        with self._lock:
            return [found for reader in self._readers.get(channel, ()) if (found := reader.worker_id)]

    def leave(self, channel: str, worker_id: str) -> None:
        """Deregister a worker."""
        with self._lock:
            for reader in self._readers.get(channel, ()):
                if reader.worker_id == worker_id:
                    reader.deregister()

    def subscribe(self, group: str, channel: str) -> None:
        """Keep ``channel`` in ``group``. Each call needs an ``unsubscribe``."""
        with self._lock:
            self._groups.subscribe(group, channel)

    def unsubscribe(self, group: str, channel: str, expiry: float) -> None:
        """One subscriber less keeps ``channel`` in ``group``. It ends ``expiry`` seconds after the last one."""
        with self._lock:
            self._groups.unsubscribe(group, channel, self.clock.monotonic() + expiry)

    def subscribers(self, group: str) -> list[str]:
        """Return the channels in ``group``, sorted."""
        with self._lock:
            return self._groups.channels(group, self.clock.monotonic())


class HubTable:
    """The hubs of a process, by prefix and name. Thread-safe. A hub stays until ``forget``, with what lies in it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._hubs: dict[tuple[str, str], Hub] = {}

    def named(self, prefix: str, name: str) -> Hub:
        """Return the hub of ``memory://name`` for buses with that prefix. It is made on first use."""
        with self._lock:
            return self._hubs.setdefault((prefix, name), Hub())

    def forget(self, name: str) -> list[Hub]:
        """Remove and return the hubs of ``memory://name``, for every prefix. Later buses find new ones.

        For tests: a bus that is still open keeps the hub that it has.
        """
        with self._lock:
            keys = [key for key in self._hubs if key[1] == name]
            return [self._hubs.pop(key) for key in keys]


hubs = HubTable()
"""The hubs of this process, which owns them all: two buses of one URL must meet, wherever each was made."""
