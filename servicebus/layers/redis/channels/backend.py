"""One layer in one process: its name there, what it holds, and the engine that it has while it is in use."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence

from ...base import Limits
from ..target import Target
from .engine import Closed, Engine, Profile
from .groups import GroupTable
from .handoff import to_running_loop
from .hosts import shard_of
from .losses import Losses
from .mailboxes import Item, Mailboxes
from .portal import Portal
from .server import Server
from .turns import Turns
from .underway import Underway


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

    def connection(self, name: str) -> tuple[Engine, Server] | None:
        """The server that ``name`` lives on, if it is connected, and nobody of this loop waits for that."""
        engine = self.engine
        if engine is None or (self._turns and (to_running_loop(), name) in self._turns):
            return None
        server = engine.servers.get(shard_of(name, self._shards))
        return None if server is None else (engine, server)

    async def connected(self, name: str) -> tuple[Engine, Server]:
        """The server that ``name`` lives on: first to whoever of this loop asked first.

        Raises Unavailable or ConfigurationError. Cancelling is safe.
        """
        return await self._turns.after_others((to_running_loop(), name), lambda: self._connect(name))

    def hand_over(self, channel: str, frame: bytes) -> bool:
        """Give a message to a consumer of this process that waits for it, without the server.

        False: nobody waits, or something that this process sent here before it has not arrived yet.
        """
        item = Item(time.monotonic() + self._profile.limits.expiry, frame, counted=False)
        return self.underway.is_empty and self._mailboxes.hand_over(channel, item)

    async def next_item(self, channel: str) -> Item:
        """The next message of ``channel``. Cancelling is safe at any instant: what was on its way goes to the next."""
        found = self._mailboxes.take(channel, to_running_loop())
        if isinstance(found, Item):
            return found
        try:
            engine = self.engine or await self.started()
            if not engine.is_read(channel):
                engine.portal.post(engine.wanted, channel)
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

    async def _connect(self, name: str) -> tuple[Engine, Server]:
        while True:
            engine = await self.started()
            try:
                return engine, await engine.portal.run(lambda engine=engine: engine.opened(name))  # type: ignore[misc]
            except Closed:
                if engine is self.engine:
                    raise
                # Somebody else has closed the layer, and here it is used again.

    async def _start(self) -> Engine:
        """In the I/O thread, so that two loops that come first at once get one engine."""
        engine = self.engine
        if engine is None:
            engine = Engine(Portal.current(), self._profile, self._mailboxes, self._groups, self._losses, self.underway)
            self.engine = engine
        return engine


def _detach(engine: Engine) -> None:
    task = engine.portal.spawn(engine.close())
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
