"""The sending side: frames of one tick to one channel become one script call on one shared connection.

A delivery is settled exactly once: taken, refused by the script, refused because nothing was sent, or SendUnknown when
the connection was lost between the command and its answer. Nothing that was written is ever written again, save a
script call that the server certainly did not run: its answer was NOSCRIPT, or that another node of a Cluster should be
asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from copy import copy
from typing import Any

import hiredis

from ....errors import ChannelFull, NoWorkers, Overloaded, SendUnknown, Unavailable
from ....foundation import running_time
from ....protocol.codec import Restamp, restamped
from ...delivery import Delivery
from ..connection.connection import Connection, ConnectionLost, NeverSent, into, pack
from ..connection.reconnecting import ReconnectingConnection
from ..topology.locator import Locator
from .batch import Batch, Command
from .outage import Outage
from .push_commands import Route, Routes
from .script_reload import ScriptReload, is_missing
from .send_queue import SendQueue
from .verdicts import Fate, Redirected, is_last_number, not_loaded, refusal, verdict

LEAVE_AFTER = 0.05
"""Seconds before a server that became a replica is left: the answers behind its first READONLY still count."""

PING = pack((b"PING",))
"""A packed command whose answer comes behind the answers to everything that was sent before it."""

UNFENCED = (
    "%s does not say which primary it is, because this user may not run INFO or the server hides its run_id: "
    "after a failover a message that had been taken may run a second time. Allow the user +info"
)

logger = logging.getLogger(__name__)

OnUp = Callable[["Pipeline", Connection], None]
"""Takes a pipeline and its new connection, before anything is sent on it."""
OnRedirect = Callable[["Pipeline", str, list[Delivery]], None]
"""Takes what the server did not take because another node of its Cluster should, now or soon, and the channel."""


class Pipeline:
    """The one connection that a process sends on to one server, and everything that waits for it.

    Args:
        locator: the way to the server.
        name: of the connection, as the server lists it.
        routes: how frames are pushed to each channel, and the limits of the layer.
        on_up: called with each new connection.
        on_redirect: takes what another node should take. Without it such frames are refused.
        kind: the class of the connection.
        restamp: gives a frame that was never sent the fence of another primary.

    Attributes:
        fence: of the primary that is connected, or was last; 0 before the first connection.
        server: which server process that is; 0 when it does not say it.
        link: the connection that comes back.
    """

    def __init__(
        self,
        locator: Locator,
        name: str,
        routes: Routes,
        on_up: OnUp,
        on_redirect: OnRedirect | None = None,
        kind: type[Connection] = Connection,
        restamp: Restamp = restamped,
    ) -> None:
        self._routes = routes
        self._limits = routes.limits
        self._on_up = on_up
        self._on_redirect = on_redirect
        self._restamp = restamp
        self._loop = asyncio.get_running_loop()
        self._running = running_time.of_running_loop()
        self._queue = SendQueue(routes.limits.max_waiting_bytes)
        self._scripts = ScriptReload(on_done=self._schedule)
        # Batches that found their script missing, in the order in which they were sent.
        self._unscripted: list[Batch] = []
        self._outage = Outage(routes.limits.timing.max_outage, self._refuse_waiting)
        self._flush_scheduled = False
        self.fence = 0
        self.server = 0
        self.link = ReconnectingConnection(
            locator,
            name,
            on_up=self._up,
            on_promoted=self._take_fence,
            on_down=self._down,
            on_failed=self._outage.attempt_failed,
            on_writable=self._schedule,
            kind=kind,
        )

    def start(self) -> None:
        """Connect in the background. Frames wait for it as they do for a connection that was lost."""
        self._outage.begin(f"no connection to {self.link.locator}")
        self.link.start()

    def push(self, delivery: Delivery) -> None:
        """Queue a frame; it leaves at the end of this tick at the latest. Never blocks."""
        refusal = self._outage.refusal
        count = 0 if refusal is not None else self._queue.add(delivery)
        if count > 1:
            if count >= self._limits.flush_at:
                self._flush()
        elif count == 1:
            # Also when this one leaves at once: the answers of a tick go before its receiver asks for more.
            self._schedule()
            # When nothing is on its way, a lone frame has nothing to wait for.
            connection = self.link.connection
            if connection is not None and not connection.outstanding:
                self._flush()
        else:
            full = f"{self._queue.max_bytes} bytes wait to be sent"
            delivery.settle(refusal or Overloaded(delivery.channel, full))

    def remove(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Take back frames that have not left yet. Returns those."""
        return self._queue.remove(deliveries)

    def take_unsent(self, channel: str | None = None) -> list[Delivery]:
        """Take back everything that has not left yet, in order; of one channel, or of all."""
        return self._queue.take_deliveries(channel)

    @property
    def idle(self) -> Connection | None:
        """The connection, when nothing waits for it. From any thread."""
        return None if self._queue.waiting or self._scripts.is_loading else self.link.connection

    def is_to_server_of(self, connection: Connection) -> bool:
        """Whether another connection leads to the same server process, as far as anybody can know."""
        server = connection.greeting.server
        if self.server and server:
            return self.server == server
        ours = self.link.connection
        return ours is not None and ours.address == connection.address

    def packed(self, delivery: Delivery) -> tuple[bytes, Callable[[Any], None]]:
        """The command for one frame, for a connection that takes it at once, and the callback that takes its answer."""
        batch = Batch(delivery)
        return self._packed(batch), self._answer_of(batch)

    def write(self, data: bytes, answer: Callable[[Any], None]) -> None:
        """Send one packed command behind everything pushed so far. Without a connection its answer is NeverSent."""
        self._flush()
        if self.link.connection is None or self._queue.waiting_bytes >= self._queue.max_bytes:
            answer(NeverSent())
        else:
            self._put(self.link.connection, Command(data, answer))

    def when_answered(self, done: Callable[[], None]) -> None:
        """Call ``done`` when the server has answered all that was pushed so far, or the connection was lost.

        What waits for the next connection by then has not been sent, and can be taken back by ``take_unsent``.
        """

        def answered(_: Any) -> None:
            if self._scripts.is_loading and self.link.connection is not None:
                self.when_answered(done)  # something that was pushed before is sent again when the scripts are loaded
            else:
                done()

        self._flush()
        if self.link.connection is None:
            done()
        else:
            self._put(self.link.connection, Command(PING, answered))

    async def execute(self, *command: bytes | str | int, name: str = "") -> Any:
        """Run one command behind everything pushed so far.

        Args:
            command: its parts.
            name: the channel, inbox or group that it concerns, for the text of errors.

        Raises:
            Unavailable: it was not sent, or the server refused it; Redirected when another node should be asked.
            SendUnknown: its answer was lost.

        Cancelling is safe: the command may or may not run.
        """
        reply = await self._asked(command)
        if is_missing(reply) and self.link.connection is not None:
            loaded: asyncio.Future[Any] = self._loop.create_future()
            self._scripts.load(self.link.connection, into(loaded))
            await loaded
            reply = await self._asked(command)
        if isinstance(reply, NeverSent):
            # A copy: the refusal lasts as long as the outage, and would collect the traceback of everybody here.
            raise copy(self._outage.refusal) or Unavailable(f"not connected to {self.link.locator}") from reply
        if isinstance(reply, ConnectionLost):
            raise SendUnknown(name or str(self.link.locator)) from reply
        if isinstance(reply, hiredis.ReplyError):
            raise self.refused(reply) from reply
        return reply

    def refused(self, error: Exception) -> Unavailable:
        """What an error answer means. A server that became a replica is left: another one has taken its place."""
        connection = self.link.connection
        if connection is not None and str(error).startswith("READONLY"):
            self._loop.call_later(LEAVE_AFTER, connection.abort)
        return refusal(error)

    def on_heartbeat_refused(self, reply: Exception) -> None:
        """Cure for the next time what made a heartbeat fail: missing scripts, or a slot that is elsewhere."""
        if is_missing(reply) and self.link.connection is not None:
            self._scripts.load(self.link.connection, _ignore)
        elif isinstance(reply, hiredis.ReplyError) and isinstance(self.refused(reply), Redirected):
            self.link.locator.invalidate()

    async def close(self) -> None:
        """Send what waits and hear the answers, for as long as an outage may last; then close and refuse the rest.

        Cancelling is safe, but leaves the connection open: close again.
        """
        with contextlib.suppress(TimeoutError):
            async with running_time.timeout(self._limits.timing.max_outage):
                # Any answer will do, also that this user may not ask. Without a connection nothing can leave.
                while not isinstance(await self._asked(("PING",)), ConnectionLost) and self._has_unanswered:
                    pass
        await self.link.close()
        self._drop_commands()
        self._outage.refuse(Unavailable("the bus was closed before the message was sent"))

    @property
    def silent_for(self) -> float:
        """Seconds for which an answer has been outstanding, this process running, and the server silent."""
        connection = self.link.connection
        return self._running.elapsed(connection.heard_at) if connection and connection.outstanding else 0.0

    def abort(self) -> None:
        """Drop the connection: outstanding answers are lost."""
        if self.link.connection is not None:
            self.link.connection.abort()

    def check_silence(self) -> None:
        """Drop a connection whose answer has been outstanding for too long, or whose server is a replica now.

        Called four times a second.
        """
        if self.silent_for > self._limits.timing.max_silence:
            self.abort()
        self.verify(LEAVE_AFTER)

    def verify(self, leave_after: float = 0.0) -> None:
        """Ask which promotion of the server this is, ahead of a command that takes messages. See ``Connection``."""
        self._flush()
        if self.link.connection is not None:
            self.link.connection.verify(leave_after)

    @property
    def _has_unanswered(self) -> bool:
        connection = self.link.connection
        waits = bool(self._queue.waiting) or self._scripts.is_loading
        return waits or (connection is not None and connection.outstanding > 0)

    def _schedule(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        connection, queue = self.link.connection, self._queue
        if connection is None or not queue.waiting or self._scripts.is_loading:
            return
        data: list[bytes] = []
        answers: list[Callable[[Any], None]] = []
        while queue.waiting and connection.writable:
            waiting = queue.take_next()
            if isinstance(waiting, Command):
                data.append(waiting.data)
                answers.append(waiting.answer)
            elif waiting.deliveries:
                data.append(self._packed(waiting))
                answers.append(self._answer_of(waiting))
        if data:
            connection.write(b"".join(data), *answers)

    def _put(self, connection: Connection, command: Command) -> None:
        """Send a command behind everything that waits."""
        if self._queue.waiting or self._scripts.is_loading:
            self._queue.add_command(command)
        else:
            connection.write(*command)

    def _packed(self, batch: Batch) -> bytes:
        route = self._route_of(batch)
        return (route.push_to_workers if batch.options.needs_worker else route.push).packed(batch.elements)

    def _route_of(self, batch: Batch) -> Route:
        counted = batch.options.counted
        return self._routes.counted(counted) if counted else self._routes.plain(batch.channel)

    def _answer_of(self, batch: Batch) -> Callable[[Any], None]:
        whole = batch.whole

        def answer(reply: Any) -> None:
            # The usual answers, before all that there may be: everything was taken.
            if reply == whole:
                batch.settle(None)
            elif type(reply) is list and len(reply) == 2 and reply[0] == whole and is_last_number(reply[1], whole):
                batch.settle_taken(whole, reply[1])
            else:
                self._answered(batch, reply)

        return answer

    def _answered(self, batch: Batch, reply: Any) -> None:
        """Do what the verdict on a batch says."""
        fate, elements, number = verdict(reply, batch.whole)
        match fate:
            case Fate.UNKNOWN:
                batch.settle(SendUnknown(batch.channel))
            case Fate.TAKEN:
                batch.settle_taken(elements, number)
            case Fate.UNEXPECTED:
                logger.error("the server answered a batch with %.200r: the connection is dropped", reply)
                batch.settle(SendUnknown(batch.channel, "the connection got out of step"))
                self.abort()
            case Fate.NO_WORKERS:
                batch.settle(NoWorkers(batch.channel))
            case Fate.PARTLY_TAKEN:
                batch.settle_taken(elements, number)
                full = ChannelFull(batch.options.counted or batch.channel, self._route_of(batch).capacity)
                batch.settle(full, batch.frames_in(elements))
            case Fate.UNSCRIPTED if self.link.connection is not None:
                self._reload_for(batch, self.link.connection)
            case Fate.REDIRECTED if self._on_redirect is not None:
                self._on_redirect(self, batch.channel, batch.deliveries)
            case _:
                batch.settle(self.refused(reply))

    async def _asked(self, command: tuple[bytes | str | int, ...]) -> Any:
        """The answer to a command, whatever it is."""
        future = self._loop.create_future()
        self.write(pack(command), into(future))
        return await future

    def _reload_for(self, batch: Batch, connection: Connection) -> None:
        """Send a batch again once its script is loaded. Batches behind it that find it missing too keep their order."""
        self._unscripted.append(batch)
        if len(self._unscripted) == 1:
            self._scripts.load(connection, self._reloaded)

    def _reloaded(self, error: Exception | None) -> None:
        batches, self._unscripted = self._unscripted, []
        if error is None:
            self._queue.put_back(batches)
            self._flush()
            return
        for batch in batches:
            batch.settle(not_loaded(error))

    def _up(self, connection: Connection) -> None:
        self._outage.end()
        self._take_fence(connection)
        self._on_up(self, connection)
        self._schedule()

    def _take_fence(self, connection: Connection) -> None:
        """What leaves from now on bears the fence of the primary, as it is now."""
        self.server, fence = connection.greeting.server, connection.greeting.fence
        if not fence:
            logger.warning(UNFENCED, connection.address)
        if fence != self.fence:
            self.fence = fence
            for delivery in (delivery for batch in self._queue.batches() for delivery in batch.deliveries):
                delivery.frame = self._restamp(delivery.frame, fence, delivery.channel)

    def _down(self) -> None:
        self._drop_commands()
        self._outage.begin(f"lost {self.link.locator}")

    def _drop_commands(self) -> None:
        """Commands never wait for a connection: some are right only for the one that is gone."""
        for command in self._queue.take_commands():
            command.answer(NeverSent())

    def _refuse_waiting(self, error: Unavailable) -> None:
        for delivery in self._queue.take_deliveries():
            delivery.settle(error)


def _ignore(error: Exception | None) -> None:
    """A heartbeat is repeated anyway."""
