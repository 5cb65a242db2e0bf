"""One connection: hiredis on an asyncio Protocol. Commands are written as they come; replies are matched in order.

Every command has exactly one answer: the reply of the server, or ``ConnectionLost``. A caller that stops waiting
does not disturb the order, because each answer goes to a callback, and the callback stays in the queue of callbacks.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

import hiredis

from ..topology.address import Address
from .greeting import Greeting, lacks_right, read_info

Answer = Callable[[Any], None]
"""Takes a reply, a ``hiredis.ReplyError`` or a ``ConnectionLost``. It should not raise. When it does, it is given a
``ConnectionLost``, so that whatever waits for it ends, and the connection is dropped."""

HIGH_WATER = 1 << 20
"""Bytes in the write buffer above which batches wait in the queue, where they can still be withdrawn."""

# The stubs of hiredis say that a command has one part.
pack: Callable[[tuple[bytes | str | int, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]

VERIFY_AFTER = 0.001
"""Seconds after which a server may have been replaced and promoted again: with 40 small messages, on one machine, that
takes at least 3.5 ms, because the server has to read all data of its replacement."""
ASK_REPLICATION = pack((b"INFO", b"replication"))

_INCOMPLETE = object()

logger = logging.getLogger(__name__)


class ConnectionLost(Exception):
    """The connection ended before the answer came."""

    def __str__(self) -> str:
        return "the connection was lost before the answer came"


class NeverSent(ConnectionLost):
    """There was no connection to send the command on."""

    def __str__(self) -> str:
        return "there was no connection"


class Connection(asyncio.Protocol):
    """One connection, for the event loop that opened it.

    Attributes:
        greeting: the facts about the server, set once ``connect`` has returned the connection.
        address: of the server, set by ``connect``.
        writable: whether the write buffer holds less than ``HIGH_WATER`` bytes.
        heard_at: the instant, on the clock of the event loop, of the last data from the server, or of the first
            command after a time without outstanding answers.
        unasked: an error that came without a command: a server that takes no more clients sends one at once.
        on_promoted: called when the server was promoted anew under the connection, or forgot that it ever was.
    """

    greeting: Greeting
    address: Address

    def __init__(self, on_lost: Callable[[], None], on_writable: Callable[[], None]) -> None:
        self._on_lost = on_lost
        self._on_writable = on_writable
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        # Who takes the answers that are outstanding, in the order of their commands. A subclass that writes by other
        # means (``channel_layer.direct_write``) appends an answer here before its command leaves.
        self._answers: deque[Answer] = deque()
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.writable = True
        self.unasked: hiredis.ReplyError | None = None
        self.heard_at = self._loop.time()
        self.on_promoted: Callable[[Connection], None] = _nothing
        # When the greeting was known to be true, on the clock of the event loop.
        self._verified_at = self.heard_at

    @property
    def outstanding(self) -> int:
        """Commands whose answers have not come yet."""
        return len(self._answers)

    def write(self, data: bytes, *answers: Answer) -> None:
        """Send packed commands, one answer each. On a lost connection the answers are NeverSent, at once."""
        transport = self._transport
        if transport is None:
            self._lose(answers, NeverSent())
            return
        if not self._answers:
            self.heard_at = self._loop.time()
        self._answers.extend(answers)
        transport.write(data)

    async def execute(self, *command: bytes | str | int) -> Any:
        """Send one command and return its reply.

        Cancelling is safe: the command has been sent, and its answer is dropped.

        Raises:
            hiredis.ReplyError: the server refused the command.
            ConnectionLost: the connection ended before the answer came.
        """
        future = self._loop.create_future()
        self.write(pack(command), into(future))
        reply = await future
        if isinstance(reply, Exception):
            raise reply
        return reply

    def greeted(self, greeting: Greeting) -> None:
        """Take the result of the handshake: the connection is in use from now on."""
        self.greeting = greeting

    def verify(self, leave_after: float = 0.0) -> None:
        """Ask which promotion of the server this is, unless that was asked within the last millisecond.

        Call it before each command that takes messages: the answer comes before that of the command. Who calls it for
        every such command asks rarely, because a replica would refuse one of these commands.

        Args:
            leave_after: seconds in which answers to what was sent before are heard when the server is a replica now.
        """
        now = self._loop.time()
        since, self._verified_at = now - self._verified_at, now
        if since > VERIFY_AFTER and self.greeting.fence:
            self.write(ASK_REPLICATION, partial(self._verified, since, leave_after))

    def _verified(self, since: float, leave_after: float, reply: Any) -> None:
        if lacks_right(reply):
            renewed = self.greeting.without_fence()
        elif isinstance(reply, Exception):
            self._verified_at -= since
            return
        else:
            info = read_info(reply)
            if info.is_replica:
                _leave(self, leave_after)
                return
            renewed = self.greeting.renewed(info, since)
        if renewed is not self.greeting:
            self.greeting = renewed
            self.on_promoted(self)

    def abort(self) -> None:
        """Drop the connection now; whatever is outstanding is answered with ConnectionLost."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport, but are none.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        reader, answers = self._reader, self._answers
        try:
            reader.feed(data)
            reply = reader.gets()
            while reply is not _INCOMPLETE:
                if not answers and isinstance(reply, hiredis.ReplyError):
                    self.unasked = reply
                answer = answers.popleft()
                try:
                    answer(reply)
                except Exception:
                    logger.exception("an answer of the server could not be used: the connection is dropped")
                    self._lose((answer,), ConnectionLost())
                    self.abort()
                reply = reader.gets()
        except (hiredis.ProtocolError, IndexError):
            # Not RESP, or an answer without a command: start over.
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        answers, self._answers = self._answers, deque()
        self._lose(answers, ConnectionLost())
        self._on_lost()

    def _lose(self, answers: Iterable[Answer], error: ConnectionLost) -> None:
        """Give each answer an error instead of a reply. One that raises does not keep the others from theirs."""
        for answer in answers:
            try:
                answer(error)
            except Exception:
                logger.exception("the loss of a connection could not be reported")

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self._on_writable()


def _leave(connection: Connection, after: float) -> None:
    """Send no more batches, and drop the connection when what is outstanding has had time to be answered."""
    connection.writable = False
    if after and connection.outstanding:
        asyncio.get_running_loop().call_later(after, connection.abort)
    else:
        connection.abort()


def _nothing(connection: Connection) -> None:
    """Nobody needs to know."""


def into(future: asyncio.Future[Any]) -> Answer:
    """An answer that completes ``future``, unless the waiter has gone away."""

    def answer(reply: Any) -> None:
        if not future.done():
            future.set_result(reply)

    return answer
