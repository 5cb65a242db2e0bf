"""The receiving side: one blocking reader per channel, on a connection of its own.

A reader is never cancelled: it stops by flag, is woken by CLIENT UNBLOCK, and what its last pop brought is delivered.
It asks for no more than the credit that is left, and asks again before it hands over what came.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import hiredis

from ....protocol.credit import Budget
from ...layer import Sink
from ..connection.connection import Connection, ConnectionLost, pack
from ..connection.reconnecting import Link
from ..schema.keys import Keys
from ..schema.scripts import REGISTER
from ..sending.pipeline import Pipeline
from ..sending.verdicts import REDIRECTIONS
from ..topology.primaries import Nodes

BLOCK = 1.0
SILENCE = 0.45
UNBLOCK_AGAIN = 0.01
MOST_AT_ONCE = 512
AGAIN = 0.05
DENIED_AGAIN = 1.0
FEW = 4

logger = logging.getLogger(__name__)


class Receiver:
    """Reads one channel into a sink. With a ``worker_id`` it is registered before it first reads."""

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
        self.channel, self.worker_id = channel, worker_id
        self._nodes, self._keys, self._sink, self._credit = nodes, keys, sink, credit
        self._presence_ms = presence_ms
        pop = pack((b"BLMPOP", BLOCK_TEXT, b"1", keys.messages(channel), b"LEFT", b"COUNT", 0))
        self._pop = pop[: -len(COUNTS[0])]
        self._loop = asyncio.get_running_loop()
        self._scheduled = False
        self._again: asyncio.TimerHandle | None = None
        self._stopping = False
        self._left: Connection | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._ready = asyncio.Event()
        self._stop_task: asyncio.Task[None] | None = None
        self._link = Link(nodes.locator(channel), name, on_up=self._up, on_down=self._idle.set)
        self._link.start()

    def register(self) -> tuple[bytes | str | int, ...]:
        """The command that registers this reader as a worker, or keeps it registered."""
        return REGISTER.command((self._keys.workers(self.channel),), self.worker_id.encode(), self._presence_ms)

    async def ready(self) -> None:
        await self._ready.wait()

    @property
    def stopped(self) -> bool:
        """Stopped, and everything that was popped delivered."""
        return self._stop_task is not None and self._stop_task.done()

    async def stop(self) -> None:
        if self._stop_task is None:
            self._stop_task = self._loop.create_task(self._stop(), name=f"stop {self.channel}")
        await asyncio.shield(self._stop_task)

    def interrupt(self) -> None:
        """End a pop that nobody waits for any more; what it may have brought all the same goes to the sink."""
        connection = self._link.connection
        unblocker = self._unblocker()
        if connection is not None and unblocker is not None and not self._idle.is_set():
            unblocker.write(pack((b"CLIENT", b"UNBLOCK", connection.greeting.client_id)), _ignored)

    def check_silence(self) -> None:
        """Called now and then: a pop that outlived its own timeout, and of whose answer nothing comes: a dead link."""
        connection = self._link.connection
        if connection is None or self._idle.is_set():
            return
        left = connection.heard_at + BLOCK + SILENCE - self._loop.time()
        if left <= 0:
            logger.warning("no answer on %s within %.1f s: reconnecting", self.channel, BLOCK + SILENCE)
            connection.abort()
        elif left < SILENCE / 2:
            self._loop.call_later(left, self.check_silence)  # rather than whenever it is called next

    async def _stop(self) -> None:
        self._stopping = True
        self._forget_refusal()
        wait = UNBLOCK_AGAIN
        # The watchdog of the layer bounds this: a pop that does not answer is aborted, and that is an answer too.
        while not self._idle.is_set():
            # The pop was sent on another connection, and may reach the server after the word that is to end it.
            self.interrupt()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._idle.wait()
            wait *= 2
        await self._link.close()

    def _up(self, connection: Connection) -> None:
        self._forget_refusal()
        if self.worker_id:
            connection.write(pack(self.register()), self._registered)
        else:
            self._ready.set()
        self._arm(connection)

    def _registered(self, reply: Any) -> None:
        if isinstance(reply, hiredis.ReplyError):
            # A slot that has moved is found again by the pop behind this, which is told the same.
            level = logging.INFO if str(reply).startswith(REDIRECTIONS) else logging.ERROR
            logger.log(level, "cannot register with %s: %s", self.channel, reply)
        elif not isinstance(reply, ConnectionLost):
            self._ready.set()

    def wake(self) -> None:
        """Look for messages in the next tick: there is credit again, or a connection to answer on."""
        if not self._scheduled and self._idle.is_set():
            self._scheduled = True
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._scheduled = False
        if self._link.connection is not None:
            self._arm(self._link.connection)

    def _arm(self, connection: Connection) -> None:
        count = min(self._credit.available, MOST_AT_ONCE)
        self._credit.subscribe(self.wake)
        if self._stopping or count <= 0 or not self._idle.is_set() or connection is self._left or self._again:
            return
        sending = self._nodes.pipeline(self.channel)
        at_home = sending is not None and sending.link.connection is not None
        if self.worker_id and not at_home:
            return  # A worker does not take what it could not answer; it is woken when it can.
        if at_home and sending is not None and sending.fence != connection.greeting.fence:
            # The channel lives elsewhere now, here or in what the layer sends on: look again.
            self._leave(connection)
            return
        self._idle.clear()
        self._credit.expect(count)
        connection.write(self._pop + COUNTS[count], self._answered)

    def _answered(self, reply: Any) -> None:
        self._idle.set()
        connection = self._link.connection
        if isinstance(reply, ConnectionLost) or connection is None:
            return
        if isinstance(reply, hiredis.ReplyError):
            self._not_popped(connection, str(reply))
            return
        frames = reply[1] if reply is not None else []
        if len(frames) > FEW:
            self._credit.take(len(frames))
            self._arm(connection)
            self._nodes.deliver(frames, connection.greeting, self._sink)
        elif frames:
            # Few wait: what they start goes first, and asking for more is for the next tick.
            self._credit.take(len(frames))
            self._nodes.deliver(frames, connection.greeting, self._sink)
            self.wake()
        else:
            self._arm(connection)

    def _not_popped(self, connection: Connection, error: str) -> None:
        if error.startswith(("ASK", "TRYAGAIN")):
            self._ask_again_in(AGAIN)  # the slot is on its way elsewhere, but still ours
            return
        logger.warning("cannot receive from %s: %s", self.channel, error)
        if error.startswith("NOPERM"):
            self._ask_again_in(DENIED_AGAIN)  # another connection of this user may do no more
            return
        # UNBLOCKED, READONLY, MOVED and so on: this connection is of no use now, the next one may be.
        self._leave(connection)

    def _ask_again_in(self, seconds: float) -> None:
        """Until then nothing is asked for, whatever else would be a reason to."""
        if self._again is None:
            self._again = self._loop.call_later(seconds, self._ask_again)

    def _ask_again(self) -> None:
        self._forget_refusal()
        self.wake()

    def _forget_refusal(self) -> None:
        again, self._again = self._again, None
        if again is not None:
            again.cancel()

    def _leave(self, connection: Connection) -> None:
        """Drop a connection soon, and take nothing on it until then: it would be lost."""
        if connection is not self._left:
            self._left = connection
            self._loop.call_later(AGAIN, connection.abort)

    def _unblocker(self) -> Pipeline | None:
        """The connection to the same server that other commands go on: IDs of clients are the server's own."""
        pipeline, connection = self._nodes.pipeline(self.channel), self._link.connection
        if pipeline is None or connection is None or pipeline.fence != connection.greeting.fence:
            return None
        return pipeline


BLOCK_TEXT = str(BLOCK).encode()
COUNTS = [b"$%d\r\n%d\r\n" % (len(str(count)), count) for count in range(MOST_AT_ONCE + 1)]
"""How the last argument of a pop is packed."""


def _ignored(reply: object) -> None:
    """Nothing depends on this answer."""
