"""The registration of a reader as a worker of its channel."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import hiredis

from ..connection.connection import Connection, ConnectionLost, pack
from ..schema.keys import Keys
from ..schema.scripts import REGISTER
from ..sending.verdicts import REDIRECTIONS

logger = logging.getLogger(__name__)


class Registration:
    """Registers a reader as a worker on every new connection, until the worker leaves.

    Args:
        keys: the names of keys.
        channel: that the reader reads.
        worker_id: of the worker; "" for a reader that is not a worker and is never registered.
        presence_ms: how long a registration holds, in milliseconds.

    Attributes:
        worker_id: of the worker; it stays when the worker has left.
        is_worker: the reader answers calls. False once the worker has left: from then on it is not registered again.
    """

    __slots__ = ("_channel", "_done", "_key", "_on_its_way", "_presence_ms", "_settled", "is_worker", "worker_id")

    def __init__(self, keys: Keys, channel: str, worker_id: str, presence_ms: int) -> None:
        self.worker_id = worker_id
        self.is_worker = bool(worker_id)
        self._channel = channel
        self._key = keys.workers(channel)
        self._presence_ms = presence_ms
        # Set once the reader was connected, and registered if it is a worker.
        self._done = asyncio.Event()
        # Registrations without an answer, on connections of the reader.
        self._on_its_way = 0
        self._settled = asyncio.Event()
        self._settled.set()

    def command(self) -> tuple[bytes | str | int, ...]:
        """The command that registers the worker, or keeps it registered."""
        return REGISTER.command((self._key,), self.worker_id.encode(), self._presence_ms)

    def wanted(self) -> tuple[bytes | str | int, ...] | None:
        """The command, None once the worker has left."""
        return self.command() if self.is_worker else None

    def connected(self, connection: Connection) -> None:
        """Register on a new connection, before anything is read on it."""
        if self.is_worker:
            self._on_its_way += 1
            self._settled.clear()
            connection.write(pack(self.command()), self._answered)
        else:
            self._done.set()

    def end(self) -> None:
        """Register no more: the worker has left. Idempotent."""
        self.is_worker = False

    async def done(self) -> None:
        """Return once the reader was connected, and registered if it is a worker. Cancelling is safe."""
        await self._done.wait()

    async def settled(self) -> None:
        """Return when no registration is on its way: what is removed before the server hears of it would stay.

        Cancelling is safe: nothing changes.
        """
        await self._settled.wait()

    def _answered(self, reply: Any) -> None:
        self._on_its_way -= 1
        if not self._on_its_way:
            self._settled.set()
        if isinstance(reply, hiredis.ReplyError):
            # The pop behind this command gets the same answer, and finds a slot that has moved.
            level = logging.INFO if str(reply).startswith(REDIRECTIONS) else logging.ERROR
            logger.log(level, "cannot register with %s: %s", self._channel, reply)
        elif not isinstance(reply, ConnectionLost):
            self._done.set()
