"""The sending side: frames of one tick to one channel become one script call on one shared connection.

A ticket is settled exactly once: taken, refused by the script, refused because nothing was sent, or SendUnknown when
the connection was lost between the command and its answer. Nothing that was written is ever written again, save a
script call that the server answered with NOSCRIPT, which certainly did not run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis

from ...errors import ChannelFull, NoWorkers, Overloaded, SendUnknown, ServiceBusError, Unavailable
from ...protocol.codec import restamped
from ..base import Ticket
from .address import Address
from .connection import Connection, ConnectionLost, pack
from .link import Link
from .routes import Route, Routes
from .scripts import ALL, SEND, SEND_CHANNEL, SEND_LOCAL, SENDING

BATCH_FRAMES = 512
BATCH_BYTES = 256 * 1024
MAX_WAITING_BYTES = 64 * 1024 * 1024
PATIENCE = 1.0
SILENCE = 5.0


class Batch:
    """The frames of one script call."""

    __slots__ = ("channel", "counted", "needs_worker", "size", "tickets")

    def __init__(self, first: Ticket) -> None:
        self.channel, self.needs_worker, self.counted = first.channel, first.needs_worker, first.counted
        self.size = 0
        self.tickets: list[Ticket] = []

    def takes(self, ticket: Ticket) -> bool:
        return (
            self.needs_worker is ticket.needs_worker
            and self.counted == ticket.counted
            and len(self.tickets) < BATCH_FRAMES
            and self.size + len(ticket.frame) <= BATCH_BYTES
        )

    def add(self, ticket: Ticket) -> None:
        self.tickets.append(ticket)
        self.size += len(ticket.frame)

    def settle(self, error: ServiceBusError | None, first: int = 0) -> None:
        for ticket in self.tickets[first:]:
            ticket.settle(error)


class Pipeline:
    """The one connection that a process sends on, and everything that waits for it."""

    def __init__(self, address: Address, name: str, routes: Routes, on_up: Callable[[Connection], None]) -> None:
        self._address, self._routes, self._on_up = address, routes, on_up
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Batch] = deque()
        self._open: dict[str, Batch] = {}
        self._unscripted: list[Batch] = []
        self._waiting_bytes = 0
        self._flush_scheduled = False
        self._refusal: Unavailable | None = None
        self._impatience: asyncio.TimerHandle | None = None
        self.fence = 0
        self.link = Link(
            address, name, on_up=self._up, on_down=self._down, on_failed=self._failed, on_writable=self._schedule
        )

    def push(self, ticket: Ticket) -> None:
        """Queue a frame; it leaves at the end of this tick. Never blocks."""
        if self._refusal is not None or self._waiting_bytes >= MAX_WAITING_BYTES:
            ticket.settle(self._refusal or Overloaded(ticket.channel, f"{MAX_WAITING_BYTES} bytes wait to be sent"))
            return
        batch = self._open.get(ticket.channel)
        if batch is None or not batch.takes(ticket):
            batch = self._open[ticket.channel] = Batch(ticket)
            self._queue.append(batch)
            self._schedule()
        batch.add(ticket)
        self._waiting_bytes += len(ticket.frame)

    def unpush(self, ticket: Ticket) -> bool:
        """Take back a frame that has not left yet."""
        for batch in self._queue:
            if batch.channel == ticket.channel and ticket in batch.tickets:
                batch.tickets.remove(ticket)
                batch.size -= len(ticket.frame)
                self._waiting_bytes -= len(ticket.frame)
                return True
        return False

    def write(self, data: bytes, answer: Callable[[Any], None]) -> None:
        """One packed command behind everything pushed so far; without a connection its answer is ConnectionLost."""
        self._flush()
        if self.link.connection is None:
            answer(ConnectionLost())
        else:
            self.link.connection.write(data, answer)

    async def execute(self, *command: bytes | str | int) -> Any:
        """One command behind everything pushed so far.

        Raises Unavailable when it was not sent or the server refused it, SendUnknown when its answer was lost.
        Cancelling is safe: the command may or may not run.
        """
        self._flush()
        connection = self.link.connection
        if connection is None:
            raise self._refusal or Unavailable(f"not connected to {self._address}")
        try:
            return await _executed(connection, command)
        except hiredis.ReplyError as error:
            raise self._refused(error) from error
        except ConnectionLost as error:
            raise SendUnknown(str(command[0])) from error

    async def close(self) -> None:
        """Send what waits, hear the answers (for a second at most), then close and refuse the rest."""
        with contextlib.suppress(TimeoutError, ServiceBusError):
            async with asyncio.timeout(PATIENCE):
                await self.execute("PING")
                while self._queue or (self.link.connection and self.link.connection.outstanding):
                    await self.execute("PING")
        await self.link.close()
        self._cancel_impatience()
        self._refuse(Unavailable("the bus was closed before the message was sent"))

    def check_silence(self) -> None:
        """Called now and then: a connection that owes an answer for too long is given up."""
        connection = self.link.connection
        if connection and connection.outstanding and self._loop.time() - connection.heard_at > SILENCE:
            connection.abort()

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
            batch = self._queue.popleft()
            if batch.tickets:
                self._waiting_bytes -= batch.size
                data.append(self._packed(batch))
                answers.append(self._answer_of(batch))
        if data:
            connection.write(b"".join(data), *answers)

    def _packed(self, batch: Batch) -> bytes:
        frames = [ticket.frame for ticket in batch.tickets]
        list_key, beside, capacity, ttl_ms, local = self._route_of(batch)
        if batch.counted:
            script = SEND_LOCAL if local else SEND_CHANNEL
            return pack((b"EVALSHA", script.sha, b"2", list_key, beside, capacity, ttl_ms, local, *frames))
        flag = b"1" if batch.needs_worker else b"0"
        return pack((b"EVALSHA", SEND.sha, b"2", list_key, beside, capacity, ttl_ms, flag, *frames))

    def _route_of(self, batch: Batch) -> Route:
        return self._routes.counted(batch.counted) if batch.counted else self._routes.plain(batch.channel)

    def _answer_of(self, batch: Batch) -> Callable[[Any], None]:
        def answer(reply: Any) -> None:
            if reply == len(batch.tickets):
                batch.settle(None)
            else:
                self._not_taken(batch, reply)

        return answer

    def _not_taken(self, batch: Batch, reply: Any) -> None:
        if isinstance(reply, ConnectionLost):
            batch.settle(SendUnknown(batch.channel))
        elif isinstance(reply, hiredis.ReplyError):
            if str(reply).startswith("NOSCRIPT"):
                self._load_again(batch)
            else:
                batch.settle(self._refused(reply))
        elif reply == -1:
            batch.settle(NoWorkers(batch.channel))
        else:
            for ticket in batch.tickets[:reply]:
                ticket.settle(None)
            full = ChannelFull(batch.counted or batch.channel, self._route_of(batch).capacity)
            batch.settle(full, reply)

    def _refused(self, error: Exception) -> Unavailable:
        """Also leaves a server that is no primary any more: what takes its place has another fence."""
        connection = self.link.connection
        if connection is not None and str(error).startswith("READONLY"):
            self._loop.call_later(0.05, connection.abort)
        return refusal(error)

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
                batch.settle(Unavailable(f"the send script could not be loaded: {reply}"))
            return
        for batch in reversed(batches):
            self._queue.appendleft(batch)
            self._waiting_bytes += batch.size
        self._flush()

    def _up(self, connection: Connection) -> None:
        self._cancel_impatience()
        self._refusal = None
        self._on_up(connection)
        fence = connection.greeting.fence
        if fence != self.fence:
            self.fence = fence
            for ticket in (ticket for batch in self._queue for ticket in batch.tickets):
                ticket.frame = restamped(ticket.frame, fence)
        self._schedule()

    def _down(self) -> None:
        self._impatience = self._loop.call_later(PATIENCE, self._refuse, Unavailable(f"lost {self._address}"))

    def _failed(self, error: Unavailable) -> None:
        if self._refusal is not None or not error.retryable:
            self._refuse(error)

    def _refuse(self, error: Unavailable) -> None:
        """From now on nothing waits for the connection: what is queued, and what comes, is refused at once."""
        self._refusal = error
        queue, self._queue = self._queue, deque()
        self._open.clear()
        self._waiting_bytes = 0
        for batch in queue:
            batch.settle(error)

    def _cancel_impatience(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None


async def _executed(connection: Connection, command: tuple[bytes | str | int, ...]) -> Any:
    try:
        return await connection.execute(*command)
    except hiredis.ReplyError as error:
        if not str(error).startswith("NOSCRIPT"):
            raise
    # Somebody flushed the scripts, so it did not run.
    await asyncio.gather(*(connection.execute("SCRIPT", "LOAD", script.source) for script in ALL))
    return await connection.execute(*command)


def refusal(error: Exception) -> Unavailable:
    """An error answer of the server: the command did not run. A missing permission will not come by waiting."""
    text = str(error)
    final = text.startswith(("NOPERM", "NOAUTH", "WRONGPASS", "WRONGTYPE", "ERR"))
    return Unavailable(f"the server refused: {text}", retryable=not final)


def _ignored(reply: object) -> None:
    """The next answer says what matters."""
