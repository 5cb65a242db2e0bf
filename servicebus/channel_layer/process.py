"""One layer in one process: its name there, what it holds, and the engine that it has while it is in use."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from ..layers.limits import Limits
from ..layers.redis.topology.target import Target
from .drop_counters import Losses
from .engine import Closed, Engine, Profile
from .group_table import GroupTable
from .hosts import shard_of
from .in_flight import Underway
from .io_thread import Portal, ended
from .loop_bridge import to_running_loop
from .mailboxes import Item, Mailboxes
from .send_order import Turns
from .shard import Server

T = TypeVar("T")


class Backend:
    """Used from any thread and loop. Mailboxes and groups outlive engines."""

    def __init__(
        self, targets: Sequence[Target], prefix: str, limits: Limits, group_expiry: float, losses: Losses
    ) -> None:
        self.client = uuid.uuid4().hex
        self._losses = losses
        self._profile = Profile(tuple(targets), prefix, limits, group_expiry, self.client)
        self._shards = len(targets)
        self._mailboxes = Mailboxes()
        self._groups = GroupTable(group_expiry)
        self.underway = Underway(limits.expiry)
        self._turns = Turns()
        self.engine: Engine | None = None

    async def started(self) -> Engine:
        """The engine."""
        engine = self.engine
        return engine if engine is not None else await Portal.current().run(self._start)

    async def run(self, work: Callable[[Engine], Awaitable[T]]) -> T:
        """Await ``work(engine)`` in the I/O thread; again when somebody closes the layer meanwhile.

        Cancelling is safe: the work goes on to its end there.
        """
        while True:
            engine = await self.started()
            try:
                return await engine.portal.run(partial(work, engine))
            except Closed:
                if engine is self.engine:
                    raise

    def connection(self, name: str) -> tuple[Engine, Server] | None:
        """The server that ``name`` lives on, if it is connected, and nobody of this loop waits for that."""
        engine = self.engine
        if engine is None or (self._turns and (asyncio.get_running_loop(), name) in self._turns):
            return None
        server = engine.servers.get(shard_of(name, self._shards))
        return None if server is None else (engine, server)

    async def connected(self, name: str) -> tuple[Engine, Server]:
        """The server that ``name`` lives on: first to whoever of this loop asked first.

        Raises Unavailable or ConfigurationError. Cancelling is safe.
        """

        async def opened(engine: Engine) -> tuple[Engine, Server]:
            return engine, await engine.opened(name)

        with self._turns.one((asyncio.get_running_loop(), name)) as turn:
            found = await self.run(opened)
            await turn.comes()
            while found[0] is not self.engine:  # closed since
                found = await self.run(opened)
            return found

    def hand_over(self, channel: str, frame: bytes, expiry: float) -> bool:
        """Give a message to a consumer of this process that waits for it, without the server.

        False: nobody waits, or something that this process sent here before it has not arrived yet.
        """
        item = Item(time.monotonic() + expiry, frame, counted=False)
        return self.underway.is_empty and self._mailboxes.hand_over(channel, item)

    async def next_item(self, channel: str) -> Item:
        """The next message of ``channel``. Cancelling is safe at any instant: what was on its way goes to the next."""
        found = self._mailboxes.take(channel, to_running_loop())
        if isinstance(found, Item):
            return found
        try:
            engine = self.engine or await self.started()
            if not engine.is_read(channel) and not engine.portal.post(self._wanted, channel):
                raise ended()
            await found.future
        except BaseException:
            self._mailboxes.give_up(channel, found)
            if "!" not in channel and self.engine is not None:
                self.engine.portal.post(self.engine.unwanted, channel)
            raise
        assert found.item is not None
        return found.item

    async def close(self) -> None:
        """Disconnect. What was received and not read stays."""
        engine, self.engine = self.engine, None
        if engine is not None:
            await engine.portal.run(engine.close)

    def abandon(self) -> None:
        """The layer is gone: disconnect when there is time. From any thread."""
        engine, self.engine = self.engine, None
        if engine is not None:
            close: Callable[[None], None] = lambda _: _detach(engine)  # noqa: E731
            engine.portal.post(close, None)

    async def _start(self) -> Engine:
        return self._engine()

    def _wanted(self, channel: str) -> None:
        """In the I/O thread. Somebody may have closed the engine that was asked for, or waits no more."""
        if self._mailboxes.waiting(channel):
            self._engine().wanted(channel)

    def _engine(self) -> Engine:
        """In the I/O thread, so that two loops that come first at once get one engine."""
        engine = self.engine
        if engine is None:
            engine = Engine(Portal.current(), self._profile, self._mailboxes, self._groups, self._losses, self.underway)
            self.engine = engine
        return engine


def _detach(engine: Engine) -> None:
    task = engine.portal.spawn(engine.close())
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
