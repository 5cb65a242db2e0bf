"""The sending side: frames of one tick to one channel become one script call on one shared connection.

A delivery is settled exactly once: taken, refused by the script, refused because nothing was sent, or SendUnknown when
the connection was lost between the command and its answer. Nothing that was written is ever written again, save a
script call that the server certainly did not run: it said NOSCRIPT, or that another node of a Cluster should be asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import hiredis

from ....errors import (
    ChannelFull,
    NoWorkers,
    Overloaded,
    SendUnknown,
    ServiceBusError,
    Unavailable,
)
from ....protocol.codec import Restamp, restamped
from ...delivery import Delivery
from ..connection.connection import (
    Connection,
    ConnectionLost,
    NeverSent,
    into,
    pack,
)
from ..connection.reconnecting import Link
from ..schema.scripts import (
    ALL,
    MISSING,
    REGISTER,
    SENDING,
)
from ..topology.locator import Locator
from .batch import Batch, Command
from .push_commands import Route, Routes

SEND_NOW = 64
"""Frames of a batch that do not wait for the end of the tick, so that those who take them work meanwhile."""
MAX_WAITING_BYTES = 64 * 1024 * 1024
PATIENCE = 1.0
SILENCE = 5.0
REDIRECTIONS = ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN")


logger = logging.getLogger(__name__)


class Redirected(Unavailable):
    """Another node of the Cluster has what was asked for, or will have it soon. The command did not run."""


class Pipeline:
    """The one connection that a process sends on to one server, and everything that waits for it.

    ``on_redirect(pipeline, channel, deliveries)`` gets what the server did not take because another node of its Cluster
    should, now or soon. Without one that is refused.
    """

    def __init__(
        self,
        locator: Locator,
        name: str,
        routes: Routes,
        on_up: Callable[[Pipeline, Connection], None],
        on_redirect: Callable[[Pipeline, str, list[Delivery]], None] | None = None,
        kind: type[Connection] = Connection,
        restamp: Restamp = restamped,
    ) -> None:
        self._routes, self._on_up, self._on_redirect, self._restamp = routes, on_up, on_redirect, restamp
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Batch | Command] = deque()
        self._open: dict[str, Batch] = {}
        self._unscripted: list[Batch] = []
        self._waiting_bytes = 0
        self._flush_scheduled = False
        self._refusal: Unavailable | None = None
        self._outage_timer: asyncio.TimerHandle | None = None
        self.fence = 0
        self.link = Link(
            locator,
            name,
            on_up=self._up,
            on_down=self._down,
            on_failed=self._failed,
            on_writable=self._schedule,
            kind=kind,
        )

    def start(self) -> None:
        """Connect in the background. Frames wait for it as they do for a connection that was lost."""
        self._wait(f"no connection to {self.link.locator}")
        self.link.start()

    def push(self, delivery: Delivery) -> None:
        """Queue a frame; it leaves at the end of this tick. Never blocks."""
        if self._refusal is not None or self._waiting_bytes >= MAX_WAITING_BYTES:
            delivery.settle(self._refusal or Overloaded(delivery.channel, f"{MAX_WAITING_BYTES} bytes wait to be sent"))
            return
        self._waiting_bytes += len(delivery.frame)
        batch = self._open.get(delivery.channel)
        if batch is not None and batch.takes(delivery):
            if len(batch.deliveries) >= SEND_NOW:
                self._flush()
            return
        batch = self._open[delivery.channel] = Batch(delivery)
        batch.takes(delivery)
        self._queue.append(batch)
        # Also when this one leaves at once: the answers of a tick go before its receiver asks for more.
        self._schedule()
        # When nothing is on its way, a lone frame has nothing to wait for.
        if self._is_idle:
            self._flush()

    def remove(self, delivery: Delivery) -> bool:
        """Take back a frame that has not left yet."""
        for batch in self._batches():
            if batch.channel == delivery.channel and delivery in batch.deliveries:
                batch.deliveries.remove(delivery)
                batch.size -= len(delivery.frame)
                self._waiting_bytes -= len(delivery.frame)
                return True
        return False

    def take_unsent(self, channel: str | None = None) -> list[Delivery]:
        """Take back everything that has not left yet, in order; of one channel, or of all."""
        batches = [batch for batch in self._batches() if channel in (None, batch.channel)]
        gone = set(map(id, batches))
        self._queue = deque(waiting for waiting in self._queue if id(waiting) not in gone)
        for batch in batches:
            self._waiting_bytes -= batch.size
            self._open.pop(batch.channel, None)
        return [delivery for batch in batches for delivery in batch.deliveries]

    @property
    def idle(self) -> Connection | None:
        """The connection, when nothing waits for it. From any thread."""
        return None if self._queue or self._unscripted else self.link.connection

    def packed(self, delivery: Delivery) -> tuple[bytes, Callable[[Any], None]]:
        """The command for one frame, for a connection that takes it at once, and who takes its answer."""
        batch = Batch(delivery)
        batch.takes(delivery)
        return self._packed(batch), self._answer_of(batch)

    def write(self, data: bytes, answer: Callable[[Any], None]) -> None:
        """One packed command behind everything pushed so far; without a connection its answer is NeverSent."""
        self._flush()
        if self.link.connection is None or self._waiting_bytes >= MAX_WAITING_BYTES:
            answer(NeverSent())
        elif self._queue or self._unscripted:
            self._queue.append(Command(data, answer))
            self._waiting_bytes += len(data)
            self._open.clear()
        else:
            self.link.connection.write(data, answer)

    async def execute(self, *command: bytes | str | int, name: str = "") -> Any:
        """One command behind everything pushed so far; ``name`` is that of the channel, inbox or group it concerns.

        Raises Unavailable when it was not sent or the server refused it (Redirected when another node should be asked),
        SendUnknown when its answer was lost. Cancelling is safe: the command may or may not run.
        """
        reply = await self._asked(command)
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            # Somebody flushed the scripts, so it did not run.
            await asyncio.gather(*(self._asked(("SCRIPT", "LOAD", script.source)) for script in ALL))
            reply = await self._asked(command)
        if isinstance(reply, NeverSent):
            # A copy: the refusal holds for as long as the outage, and would collect the traceback of everybody here.
            raise copy(self._refusal) or Unavailable(f"not connected to {self.link.locator}") from reply
        if isinstance(reply, ConnectionLost):
            raise SendUnknown(name or str(self.link.locator)) from reply
        if isinstance(reply, hiredis.ReplyError):
            raise self.refused(reply) from reply
        return reply

    def refused(self, error: Exception) -> Unavailable:
        """What an error answer means. A server that is no primary any more is left: what takes its place is new."""
        connection = self.link.connection
        if connection is not None and str(error).startswith("READONLY"):
            self._loop.call_later(0.05, connection.abort)
        return refusal(error)

    def on_heartbeat_reply(self, reply: object) -> None:
        """Answer of a registration that is said again before it ends: a failure is only made less likely next time."""
        if isinstance(reply, Exception):
            logger.info("a heartbeat was missed: %r", reply)
        if isinstance(reply, hiredis.ReplyError):
            if str(reply).startswith("NOSCRIPT"):
                self.write(pack((b"SCRIPT", b"LOAD", REGISTER.source)), _ignored)
            elif isinstance(self.refused(reply), Redirected):
                self.link.locator.invalidate()

    async def close(self) -> None:
        """Send what waits, hear the answers (for a second at most), then close and refuse the rest."""
        with contextlib.suppress(TimeoutError, ServiceBusError):
            async with asyncio.timeout(PATIENCE):
                await self.execute("PING")
                while self._queue or self._unscripted or self._has_outstanding:
                    await self.execute("PING")
        await self.link.close()
        self._drop_commands()
        self._cancel_outage_timer()
        self._refuse(Unavailable("the bus was closed before the message was sent"))

    @property
    def _has_outstanding(self) -> bool:
        return self.link.connection is not None and self.link.connection.outstanding > 0

    @property
    def _is_idle(self) -> bool:
        return self.link.connection is not None and not self.link.connection.outstanding

    @property
    def silent_for(self) -> float:
        """Seconds that the server has owed an answer for without saying anything."""
        connection = self.link.connection
        return self._loop.time() - connection.heard_at if connection and connection.outstanding else 0.0

    def abort(self) -> None:
        """Drop the connection: what it owes is unknown from now on."""
        if self.link.connection is not None:
            self.link.connection.abort()

    def check_silence(self) -> None:
        """Called now and then: a connection that owes an answer for too long is given up."""
        if self.silent_for > SILENCE:
            self.abort()

    def _batches(self) -> Iterator[Batch]:
        return (waiting for waiting in list(self._queue) if isinstance(waiting, Batch))

    def _schedule(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        connection = self.link.connection
        if connection is None or not self._queue or self._unscripted:
            return
        self._open.clear()
        data, answers = [], []
        while self._queue and connection.writable:
            waiting = self._queue.popleft()
            if isinstance(waiting, Command):
                self._waiting_bytes -= len(waiting.data)
                data.append(waiting.data)
                answers.append(waiting.answer)
            elif waiting.deliveries:
                self._waiting_bytes -= waiting.size
                data.append(self._packed(waiting))
                answers.append(self._answer_of(waiting))
        if data:
            connection.write(b"".join(data), *answers)

    def _packed(self, batch: Batch) -> bytes:
        route = self._route_of(batch)
        return (route.push_to_workers if batch.options.needs_worker else route.push).packed(batch.elements)

    def _route_of(self, batch: Batch) -> Route:
        counted = batch.options.counted
        return self._routes.counted(counted) if counted else self._routes.plain(batch.channel)

    def _answer_of(self, batch: Batch) -> Callable[[Any], None]:
        whole = batch.whole

        def answer(reply: Any) -> None:
            if reply == whole:
                batch.settle(None)
            else:
                self._not_taken(batch, reply)

        return answer

    def _not_taken(self, batch: Batch, reply: Any) -> None:
        if isinstance(reply, ConnectionLost):
            batch.settle(SendUnknown(batch.channel))
        elif isinstance(reply, hiredis.ReplyError):
            self._not_run(batch, reply)
        elif reply == -1:
            batch.settle(NoWorkers(batch.channel))
        else:
            taken = batch.frames_in(reply)
            for delivery in batch.deliveries[:taken]:
                delivery.settle(None)
            full = ChannelFull(batch.options.counted or batch.channel, self._route_of(batch).capacity)
            batch.settle(full, taken)

    def _not_run(self, batch: Batch, error: hiredis.ReplyError) -> None:
        text = str(error)
        if text.startswith("NOSCRIPT"):
            self._load_again(batch)
        elif self._on_redirect is not None and text.startswith(REDIRECTIONS):
            self._on_redirect(self, batch.channel, batch.deliveries)
        else:
            batch.settle(self.refused(error))

    async def _asked(self, command: tuple[bytes | str | int, ...]) -> Any:
        """The answer to a command, whatever it is."""
        future = self._loop.create_future()
        self.write(pack(command), into(future))
        return await future

    def _load_again(self, batch: Batch) -> None:
        """Somebody flushed the scripts. Later batches will say so too; once all have, send them again in order."""
        self._unscripted.append(batch)
        if len(self._unscripted) == 1 and self.link.connection is not None:
            for script in SENDING:
                answer = self._loaded if script is SENDING[-1] else _ignored
                self.link.connection.write(pack((b"SCRIPT", b"LOAD", script.source)), answer)

    def _loaded(self, reply: Any) -> None:
        batches, self._unscripted = self._unscripted, []
        if isinstance(reply, Exception):
            for batch in batches:
                batch.settle(_not_loaded(reply))
            # Not at once: the connection may be going. What waits behind these still wants to be sent.
            self._schedule()
            return
        for batch in reversed(batches):
            self._queue.appendleft(batch)
            self._waiting_bytes += batch.size
        self._flush()

    def _up(self, connection: Connection) -> None:
        self._cancel_outage_timer()
        self._refusal = None
        fence = connection.greeting.fence
        if fence != self.fence:
            self.fence = fence
            for delivery in (delivery for batch in self._batches() for delivery in batch.deliveries):
                delivery.frame = self._restamp(delivery.frame, fence, delivery.channel)
        self._on_up(self, connection)
        self._schedule()

    def _down(self) -> None:
        self._drop_commands()
        self._wait(f"lost {self.link.locator}")

    def _wait(self, why: str) -> None:
        self._cancel_outage_timer()
        self._outage_timer = self._loop.call_later(PATIENCE, self._refuse, Unavailable(why))

    def _drop_commands(self) -> None:
        """Commands never wait for a connection: some hold only for the one that is gone."""
        commands = [waiting for waiting in self._queue if isinstance(waiting, Command)]
        self._queue = deque(self._batches())
        self._waiting_bytes -= sum(len(command.data) for command in commands)
        for command in commands:
            command.answer(NeverSent())

    def _failed(self, error: Unavailable) -> None:
        if self._refusal is not None or not error.retryable:
            self._refuse(error)

    def _refuse(self, error: Unavailable) -> None:
        """From now on nothing waits for the connection: what is queued, and what comes, is refused at once."""
        self._refusal = error
        for delivery in self.take_unsent():
            delivery.settle(error)

    def _cancel_outage_timer(self) -> None:
        if self._outage_timer is not None:
            self._outage_timer.cancel()
            self._outage_timer = None


def refusal(error: Exception) -> Unavailable:
    """An error answer of the server: the command did not run. A missing permission will not come by waiting."""
    text = str(error)
    if text.startswith(REDIRECTIONS):
        hint = "" if text.startswith("CLUSTERDOWN") else "; this is a Cluster: use redis+cluster://"
        return Redirected(f"the server refused: {text}{hint}")
    if text.startswith("NOSCRIPT"):
        return Unavailable(MISSING)
    final = text.startswith(("NOPERM", "NOAUTH", "WRONGPASS", "WRONGTYPE", "ERR"))
    return Unavailable(f"the server refused: {text}", retryable=not final)


def _not_loaded(error: Exception) -> Unavailable:
    denied = str(error).startswith("NOPERM")
    return Unavailable(MISSING if denied else f"the send script could not be loaded: {error}")


def _ignored(reply: object) -> None:
    """The next answer says what matters."""
