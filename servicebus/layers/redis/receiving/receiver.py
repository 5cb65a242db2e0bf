"""The receiving side: one blocking reader per channel, each on a connection that nothing else uses.

A reader is never cancelled. To stop, it asks for nothing more, CLIENT UNBLOCK ends its outstanding pop, and the
messages of that pop are delivered.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ....foundation import running_time
from ....foundation.tasks import Once
from ....protocol.credit import Budget
from ...layer import Sink
from ..connection.connection import Connection, pack
from ..connection.outage_report import log_line
from ..connection.reconnecting import ReconnectingConnection
from ..schema.keys import Keys
from ..topology.primaries import Nodes
from .arming import (
    DENIED_PAUSE,
    MAX_PER_POP,
    SLOT_PAUSE,
    Reaction,
    Step,
    next_step,
    reaction,
    without_tombstones,
)
from .outstanding_pop import OutstandingPop
from .pause import Pause
from .registration import Registration
from .unblock import unblock

BLOCK = 1.0
"""Seconds for which a pop blocks on the server: a dead connection is noticed soon, and idle readers cost little."""
POP_SILENCE = 0.45
"""Seconds beyond ``BLOCK`` after which a connection without an answer counts as dead: the answer has to travel."""
FIRST_UNBLOCK = 0.01
"""Seconds between the first two attempts to end a pop: a few round trips. Doubled each time."""
LEAVE_AFTER = 0.05
"""Seconds before a connection that is of no use is dropped: its replacement would fail as well if it came at once."""

BLOCK_TEXT = str(BLOCK).encode()
COUNTS = [b"$%d\r\n%d\r\n" % (len(str(count)), count) for count in range(MAX_PER_POP + 1)]
"""The last argument of a pop in packed form, by its value: the rest of the command is packed once."""

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
        registration: registers the reader as a worker before it first reads, if it is one.

    Attributes:
        channel: a channel, or the inbox of a process.
        registration: of the reader as a worker.
    """

    def __init__(
        self, nodes: Nodes, name: str, keys: Keys, channel: str, sink: Sink, credit: Budget, registration: Registration
    ) -> None:
        self.channel = channel
        self.registration = registration
        self._nodes = nodes
        self._sink = sink
        self._credit = credit
        # The command of a pop without its last argument.
        self._pop = pack((b"BLMPOP", BLOCK_TEXT, b"1", keys.messages(channel), b"LEFT", b"COUNT", 0))[: -len(COUNTS[0])]
        self._loop = asyncio.get_running_loop()
        # A look at whether to ask for more is planned for the next tick.
        self._scheduled = False
        self._pause = Pause(self.wake)
        self._outstanding = OutstandingPop()
        self._stop_once = Once(self._stop)
        self._link = ReconnectingConnection(nodes.locator(channel), name, on_up=self._up, on_down=self._outstanding.end)
        self._link.start()

    async def ready(self) -> None:
        """Return once the reader was connected, and registered if it is a worker. Cancelling is safe."""
        await self.registration.done()

    @property
    def stopped(self) -> bool:
        """Whether it has stopped, and everything that was popped was delivered."""
        return self._stop_once.task is not None and self._stop_once.task.done()

    async def stop(self) -> None:
        """Stop receiving; on return everything that was popped was delivered. Cancelling is safe: stopping goes on."""
        await self._stop_once()

    def interrupt(self) -> None:
        """End the outstanding pop. Messages that it brings nevertheless go to the sink."""
        connection = self._link.connection
        if connection is not None and self._outstanding.is_there:
            unblock(self._nodes, self.channel, connection)

    def check_silence(self) -> None:
        """Drop a connection whose pop has no answer, overdue in running time. Called after the sockets were read."""
        connection = self._link.connection
        if connection is None:
            return
        if not self._outstanding.is_there:
            connection.verify()
            return
        left = BLOCK + POP_SILENCE - running_time.of_running_loop().elapsed(connection.heard_at)
        if left <= 0:
            logger.warning("no answer on %s within %.1f s: reconnecting", self.channel, BLOCK + POP_SILENCE)
            connection.abort()
        elif left < POP_SILENCE / 2:
            running_time.of_running_loop().call_later(left, self.check_silence)  # sooner than the next regular check

    async def _stop(self) -> None:
        self._pause.cancel()
        wait = FIRST_UNBLOCK
        # check_silence bounds this loop: it drops a connection whose pop is not answered, and that ends the pop.
        while self._outstanding.is_there:
            # Repeated: the pop goes on another connection, and may reach the server after a CLIENT UNBLOCK.
            self.interrupt()
            await self._outstanding.wait(wait)
            wait *= 2
        await self._link.close()

    def _up(self, connection: Connection) -> None:
        self._pause.cancel()
        self.registration.connected(connection)
        self._arm(connection)

    def wake(self) -> None:
        """Look in the next tick whether to ask for more: there is credit again, or a connection to answer on."""
        if not self._scheduled and not self._outstanding.is_there:
            self._scheduled = True
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._scheduled = False
        if self._link.connection is not None:
            self._arm(self._link.connection)

    def _arm(self, connection: Connection) -> None:
        """Do what ``next_step`` says."""
        count = min(self._credit.available, MAX_PER_POP)
        home = self._nodes.pipeline(self.channel)
        step = next_step(
            count,
            self._stop_once.task is not None,
            self._outstanding.is_there,
            connection is self._link.leaving,
            self._pause.is_running,
            self.registration.is_worker,
            home is not None and home.link.connection is not None,
            home is not None and home.is_to_server_of(connection),
        )
        if step is Step.ASK:
            self._outstanding.is_there = True
            self._credit.expect(count)
            connection.verify()
            connection.write(self._pop + COUNTS[count], self._answered)
            return
        self._credit.subscribe(self.wake)
        if step is Step.LEAVE:
            self._link.leave(connection, LEAVE_AFTER)

    def _answered(self, reply: Any) -> None:
        """Do what the answer to a pop means."""
        self._outstanding.end()
        connection = self._link.connection
        if connection is None:
            return
        match reaction(reply):
            case Reaction.DELIVER_FIRST:
                self._credit.take(len(elements := without_tombstones(reply[1])))
                self._nodes.deliver(elements, connection.greeting, self._sink)
                self.wake()
            case Reaction.ASK_FIRST:
                self._credit.take(len(elements := without_tombstones(reply[1])))
                self._arm(connection)
                self._nodes.deliver(elements, connection.greeting, self._sink)
            case Reaction.ASK:
                self._arm(connection)
            case Reaction.PAUSE_FOR_SLOT:
                self._pause.begin(SLOT_PAUSE)
            case Reaction.PAUSE_DENIED:
                self._report_refusal(reply)
                self._pause.begin(DENIED_PAUSE)
            case Reaction.LEAVE:
                self._report_refusal(reply)
                self._link.leave(connection, LEAVE_AFTER)

    def _report_refusal(self, reply: Any) -> None:
        text = f"cannot receive from {self.channel}: {reply!s:.200}"
        log_line(logger, self._link.locator.report.refused(text, self._loop.time()))
