"""The servers of one layer: each is connected when something needs it. I/O thread only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from ..errors import ServiceBusError, Unavailable
from ..layers.redis.connection.outage_report import OutageReport, log_line
from .channel_reader import Spawn
from .hosts import shard_of
from .profile import Profile
from .shard import Shard, connect

RETRY_CONNECTING = 0.2
"""Seconds between two attempts to connect for a ``receive``: a server that restarts is found soon, and not flooded."""

T = TypeVar("T")

logger = logging.getLogger(__name__)


CLOSED = "this layer was closed"


class Closed(Unavailable):
    """The engine is closed or closes. The layer makes another one at its next use."""


class Shards:
    """The connected servers of one layer.

    Args:
        profile: what the layer was configured with.
        spawn: starts the tasks that connect.
        joined: the groups that this process has members of. A server that has lost its memory is told again.
        on_opened: called when a server has been connected.

    Attributes:
        closing: no server is connected any more.
    """

    def __init__(
        self,
        profile: Profile,
        spawn: Spawn,
        joined: Callable[[], Iterable[str]],
        on_opened: Callable[[], None],
    ) -> None:
        self._profile = profile
        self._spawn = spawn
        self._joined = joined
        self._on_opened = on_opened
        # How many servers there are, connected or not.
        self._number = len(profile.targets)
        # By the number of the shard.
        self._open: dict[int, Shard] = {}
        # What connects a server now, by the number of the shard.
        self._opening: dict[int, asyncio.Task[Shard]] = {}
        # What was logged of the attempts to connect.
        self._report = OutageReport()
        self.closing = False

    def connected(self, name: str) -> Shard | None:
        """The server that ``name`` lives on, if it is connected. From any thread."""
        return self._open.get(shard_of(name, self._number))

    async def opened(self, name: str) -> Shard:
        """The server that ``name`` lives on. It is connected first if necessary.

        Cancelling is safe: connecting goes on.

        Raises:
            Unavailable: the server cannot be reached; Closed: the layer was closed.
            ConfigurationError: the server cannot be used.
        """
        return await self._shard(shard_of(name, self._number))

    async def all_opened(self) -> list[Shard]:
        """Every server. Raises and is cancelled as ``opened``."""
        return [await self._shard(number) for number in range(self._number)]

    async def until_opened(self, name: str) -> Shard:
        """The server that ``name`` lives on, however long connecting takes: a ``receive`` waits for ever.

        Cancelling is safe. When the layer is closed, the calling task is cancelled, as all tasks of its engine are.
        """
        while True:
            try:
                return await self.opened(name)
            except Closed:
                raise asyncio.CancelledError from None
            except ServiceBusError:
                await asyncio.sleep(RETRY_CONNECTING)  # the attempt has reported it

    async def close(self) -> None:
        """Disconnect from every server. Cancelling leaves connections open."""
        shards, self._open = self._open, {}
        await asyncio.gather(*(shard.layer.close() for shard in shards.values()))

    async def _shard(self, number: int) -> Shard:
        if number in self._open:
            return self._open[number]
        if self.closing:
            raise Closed(CLOSED)
        if number not in self._opening:
            self._opening[number] = self._spawn(self._connect(number))
        return await result_of(self._opening[number])

    async def _connect(self, number: int) -> Shard:
        clock, target = asyncio.get_running_loop().time, self._profile.targets[number]
        try:
            shard = await connect(self._profile, number, lambda: self._joined_on(number))
            self._open[number] = shard
        except ServiceBusError as error:
            failure = error if isinstance(error, Unavailable) else Unavailable(str(error), retryable=False)
            log_line(logger, self._report.failed(number, failure, clock()))
            raise
        finally:
            del self._opening[number]
        log_line(logger, self._report.connected(number, target, clock()))
        self._on_opened()
        return shard

    def _joined_on(self, number: int) -> Iterable[str]:
        return (group for group in self._joined() if shard_of(group, self._number) == number)


async def result_of(task: asyncio.Task[T]) -> T:
    """The result of a task of an engine.

    Cancelling is safe: the task goes on.

    Raises:
        Closed: closing the engine has cancelled the task.
    """
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if task.cancelled() and not (current and current.cancelling()):
            raise Closed(CLOSED) from None
        raise
