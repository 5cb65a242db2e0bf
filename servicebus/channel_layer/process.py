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
from .drop_counters import DropCounters
from .engine import Engine
from .group_table import GroupTable
from .in_flight import InFlight
from .io_thread import IOThread, ended
from .loop_bridge import to_running_loop
from .mailbox import Item
from .mailboxes import Mailboxes
from .profile import Profile
from .send_order import SendOrder
from .shard import Shard
from .shards import Closed

T = TypeVar("T")


class ProcessState:
    """What a layer has in one process. Used from any thread and loop; mailboxes and groups outlive engines.

    Args:
        targets: the servers.
        prefix: of every key.
        limits: capacity and expiry.
        group_expiry: seconds after which a member that no consumer listens on leaves a group.
        counters: count what is dropped.
        clock: the monotonic clock, in seconds.

    Attributes:
        client: the name of this process in its process-local channels.
        inbox: the list that this process reads, for all these channels.
        mailboxes: what was received and not read yet.
        table: the members of groups in this process.
        in_flight: what this process has sent to its own inbox and not read back yet.
        engine: the connections; None while the layer is not in use.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        prefix: str,
        limits: Limits,
        group_expiry: float,
        counters: DropCounters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = uuid.uuid4().hex
        self._counters = counters
        self._clock = clock
        self._profile = Profile(tuple(targets), prefix, limits, group_expiry, self.client)
        self.inbox = self._profile.inbox
        self.mailboxes = Mailboxes(clock)
        self.table = GroupTable(group_expiry)
        self.in_flight = InFlight(limits.expiry, clock)
        self._send_order = SendOrder()
        self.engine: Engine | None = None

    async def run(self, work: Callable[[Engine], Awaitable[T]]) -> T:
        """Await ``work(engine)`` in the I/O thread; once more when the layer is closed meanwhile.

        Cancelling is safe: the work goes on to its end in the I/O thread. Raises what ``work`` raises.
        """
        while True:
            engine = self.engine or await self._started()
            try:
                return await engine.io_thread.run(partial(work, engine))
            except Closed:
                if engine is self.engine:
                    raise

    def connection(self, name: str) -> tuple[Engine, Shard] | None:
        """The server that ``name`` lives on, if it is connected and no send of this loop waits for that."""
        engine = self.engine
        if engine is None or (self._send_order and (asyncio.get_running_loop(), name) in self._send_order):
            return None
        shard = engine.shards.connected(name)
        return None if shard is None else (engine, shard)

    async def connected(self, name: str) -> tuple[Engine, Shard]:
        """The server that ``name`` lives on, connected. Callers of one loop get it in the order of their calls.

        Cancelling is safe: connecting goes on.

        Raises:
            Unavailable: the server cannot be reached.
            ConfigurationError: the server cannot be used.
        """

        async def opened(engine: Engine) -> tuple[Engine, Shard]:
            return engine, await engine.shards.opened(name)

        with self._send_order.place((asyncio.get_running_loop(), name)) as place:
            found = await self.run(opened)
            await place.first()
            while found[0] is not self.engine:  # the layer was closed meanwhile
                found = await self.run(opened)
            return found

    def hand_over(self, channel: str, frame: bytes, expiry: float) -> bool:
        """Give a message to a consumer of this process that waits for it, without the server.

        False when no consumer waits, or when something that this process sent here before has not arrived yet.
        """
        item = Item(self._clock() + expiry, frame, counted=False)
        return self.in_flight.is_empty and self.mailboxes.hand_over(channel, item)

    async def next_item(self, channel: str) -> Item:
        """The next message of ``channel``.

        Cancelling is safe at any instant: a message that was on its way goes to the next ``receive``.

        Raises:
            Unavailable: the interpreter ends.
        """
        found = self.mailboxes.take(channel, to_running_loop())
        if isinstance(found, Item):
            return found
        try:
            engine = self.engine or await self._started()
            if not engine.is_read(channel) and not engine.io_thread.post(self._add_demand, channel):
                raise ended()
            await found.future
        except BaseException:
            self.mailboxes.give_up(channel, found)
            if "!" not in channel and self.engine is not None:
                self.engine.io_thread.post(self.engine.drop_demand, channel)
            raise
        assert found.item is not None
        return found.item

    async def close(self) -> None:
        """Disconnect. What was received and not read stays. Cancelling is safe: disconnecting goes on."""
        engine, self.engine = self.engine, None
        if engine is not None:
            await engine.io_thread.run(engine.close)

    def abandon(self) -> None:
        """The layer was garbage collected: disconnect soon. From any thread."""
        engine, self.engine = self.engine, None
        if engine is not None:
            engine.io_thread.post(_close_detached, engine)

    async def _started(self) -> Engine:
        return await IOThread.current().run(self._start)

    async def _start(self) -> Engine:
        return self._engine()

    def _add_demand(self, channel: str) -> None:
        """In the I/O thread. The engine may have been closed, or the consumer gone away, since this was posted."""
        if self.mailboxes.waiting(channel):
            self._engine().add_demand(channel)

    def _engine(self) -> Engine:
        """In the I/O thread, so that two loops that come first at the same time get one engine."""
        if self.engine is None:
            self.engine = Engine(
                IOThread.current(),
                self._profile,
                self.mailboxes,
                self.table,
                self._counters,
                self.in_flight,
                self._clock,
            )
        return self.engine


def _close_detached(engine: Engine) -> None:
    task = engine.io_thread.spawn(engine.close())
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
