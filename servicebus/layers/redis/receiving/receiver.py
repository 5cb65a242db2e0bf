"""The receiving side: one blocking reader per channel, on a connection of its own.

A reader is never cancelled: it stops by flag, CLIENT UNBLOCK ends its pop, and what its last pop brought is delivered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import hiredis

from ....foundation.tasks import Once
from ....protocol.credit import Budget
from ...layer import Sink
from ..connection.connection import Connection, ConnectionLost, pack
from ..connection.reconnecting import ReconnectingConnection
from ..schema.keys import Keys
from ..schema.scripts import REGISTER
from ..sending.pipeline import Pipeline
from ..sending.verdicts import REDIRECTIONS
from ..topology.primaries import Nodes
from .arming import DENIED_PAUSE, MAX_PER_POP, SLOT_PAUSE, Facts, Reaction, Step, next_step, reaction
from .pause import Pause

BLOCK = 1.0
"""Seconds for which a pop blocks on the server: short enough to notice a dead link, long enough to cost little."""
POP_SILENCE = 0.45
"""Seconds beyond ``BLOCK`` without an answer after which the link counts as dead."""
FIRST_UNBLOCK = 0.01
"""Seconds between the first two attempts to end a pop; doubled each time."""
LEAVE_AFTER = 0.05
"""Seconds before a connection that is of no use is dropped: its replacement would fail as well if it came at once."""

BLOCK_TEXT = str(BLOCK).encode()
COUNTS = [b"$%d\r\n%d\r\n" % (len(str(count)), count) for count in range(MAX_PER_POP + 1)]
"""How the last argument of a pop is packed, by its value: the rest of the command is packed once."""

logger = logging.getLogger(__name__)


class Receiver:
    """Reads one channel into a sink. See ``Consumer``.

    Args:
        nodes: the way to the primary of the channel.
        name: of the connection, as the server lists it.
        keys: the names of keys.
        channel: a channel, or the inbox of a process.
        sink: takes what comes.
        credit: how much may be asked for.
        worker_id: registers the reader as a worker before it first reads; "" for a reader that is not one.
        presence_ms: how long a registration holds, in milliseconds.
    """

    def __init__(
        self,
        nodes: Nodes,
        name: str,
        keys: Keys,
        channel: str,
        sink: Sink,
        credit: Budget,
        worker_id: str,
        presence_ms: int,
    ) -> None:
        self.channel = channel
        # Emptied when the worker leaves: from then on it is not registered again.
        self.worker_id = worker_id
        self._nodes = nodes
        self._keys = keys
        self._sink = sink
        self._credit = credit
        self._presence_ms = presence_ms
        # The command of a pop without its last argument.
        self._pop = pack((b"BLMPOP", BLOCK_TEXT, b"1", keys.messages(channel), b"LEFT", b"COUNT", 0))[: -len(COUNTS[0])]
        self._loop = asyncio.get_running_loop()
        # A look at whether to ask for more is planned for the next tick.
        self._scheduled = False
        self._pause = Pause(self.wake)
        # The connection that is about to be dropped.
        self._left: Connection | None = None
        # Set while no pop is outstanding.
        self._idle = asyncio.Event()
        self._idle.set()
        # Set once the reader was connected, and registered if it is a worker.
        self._ready = asyncio.Event()
        self._stop_once = Once(self._stop)
        self._link = ReconnectingConnection(nodes.locator(channel), name, on_up=self._up, on_down=self._idle.set)
        self._link.start()

    def register(self) -> tuple[bytes | str | int, ...]:
        """The command that registers this reader as a worker, or keeps it registered."""
        return REGISTER.command((self._keys.workers(self.channel),), self.worker_id.encode(), self._presence_ms)

    async def ready(self) -> None:
        """Return once the reader was connected, and registered if it is a worker. Cancelling is safe."""
        await self._ready.wait()

    @property
    def stopped(self) -> bool:
        """Whether it has stopped, and everything that was popped was delivered."""
        return self._stop_once.task is not None and self._stop_once.task.done()

    async def stop(self) -> None:
        """Stop receiving; on return everything that was popped was delivered. Cancelling is safe: stopping goes on."""
        await self._stop_once()

    def interrupt(self) -> None:
        """End the outstanding pop. What it may have brought all the same goes to the sink."""
        connection = self._link.connection
        unblocker = self._unblocker()
        if connection is not None and unblocker is not None and not self._idle.is_set():
            unblocker.write(pack((b"CLIENT", b"UNBLOCK", connection.greeting.client_id)), _ignored)

    def check_silence(self) -> None:
        """Drop a connection whose pop has outlived its own timeout without an answer. Called four times a second."""
        connection = self._link.connection
        if connection is None or self._idle.is_set():
            return
        left = connection.heard_at + BLOCK + POP_SILENCE - self._loop.time()
        if left <= 0:
            logger.warning("no answer on %s within %.1f s: reconnecting", self.channel, BLOCK + POP_SILENCE)
            connection.abort()
        elif left < POP_SILENCE / 2:
            self._loop.call_later(left, self.check_silence)  # sooner than the next regular check

    async def _stop(self) -> None:
        self._pause.cancel()
        wait = FIRST_UNBLOCK
        # check_silence bounds this: it aborts a pop that is not answered, which is an answer too.
        while not self._idle.is_set():
            # The pop was sent on another connection, and may reach the server after the command that is to end it.
            self.interrupt()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._idle.wait()
            wait *= 2
        await self._link.close()

    def _up(self, connection: Connection) -> None:
        self._pause.cancel()
        if self.worker_id:
            connection.write(pack(self.register()), self._registered)
        else:
            self._ready.set()
        self._arm(connection)

    def _registered(self, reply: Any) -> None:
        if isinstance(reply, hiredis.ReplyError):
            # The pop behind this command gets the same answer, and finds a slot that has moved.
            level = logging.INFO if str(reply).startswith(REDIRECTIONS) else logging.ERROR
            logger.log(level, "cannot register with %s: %s", self.channel, reply)
        elif not isinstance(reply, ConnectionLost):
            self._ready.set()

    def wake(self) -> None:
        """Look in the next tick whether to ask for more: there is credit again, or a connection to answer on."""
        if not self._scheduled and self._idle.is_set():
            self._scheduled = True
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._scheduled = False
        if self._link.connection is not None:
            self._arm(self._link.connection)

    def _arm(self, connection: Connection) -> None:
        """Do what ``next_step`` says."""
        count = min(self._credit.available, MAX_PER_POP)
        self._credit.subscribe(self.wake)
        home = self._nodes.pipeline(self.channel)
        facts = Facts(
            count,
            self._stop_once.task is not None,
            not self._idle.is_set(),
            connection is self._left,
            self._pause.is_running,
            bool(self.worker_id),
            home is not None and home.link.connection is not None,
            home is not None and home.fence == connection.greeting.fence,
        )
        step = next_step(facts)
        if step is Step.ASK:
            self._idle.clear()
            self._credit.expect(count)
            connection.write(self._pop + COUNTS[count], self._answered)
        elif step is Step.LEAVE:
            self._leave(connection)

    def _answered(self, reply: Any) -> None:
        """Do what the answer to a pop means."""
        self._idle.set()
        connection = self._link.connection
        if connection is None:
            return
        match reaction(reply):
            case Reaction.ASK:
                self._arm(connection)
            case Reaction.DELIVER_FIRST:
                self._credit.take(len(reply[1]))
                self._nodes.deliver(reply[1], connection.greeting, self._sink)
                self.wake()
            case Reaction.ASK_FIRST:
                self._credit.take(len(reply[1]))
                self._arm(connection)
                self._nodes.deliver(reply[1], connection.greeting, self._sink)
            case Reaction.PAUSE_FOR_SLOT:
                self._pause.begin(SLOT_PAUSE)
            case Reaction.PAUSE_DENIED:
                logger.warning("cannot receive from %s: %s", self.channel, reply)
                self._pause.begin(DENIED_PAUSE)
            case Reaction.LEAVE:
                logger.warning("cannot receive from %s: %s", self.channel, reply)
                self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        """Drop a connection soon, and take nothing on it until then: it would be lost."""
        if connection is not self._left:
            self._left = connection
            self._loop.call_later(LEAVE_AFTER, connection.abort)

    def _unblocker(self) -> Pipeline | None:
        """The connection to the same server that commands go on: IDs of clients are the server's own."""
        pipeline, connection = self._nodes.pipeline(self.channel), self._link.connection
        if pipeline is None or connection is None or pipeline.fence != connection.greeting.fence:
            return None
        return pipeline


def _ignored(reply: object) -> None:
    """Nothing depends on this answer."""
