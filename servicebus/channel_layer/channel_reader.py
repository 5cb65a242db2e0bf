"""What reads a normal channel into its mailbox, while somebody waits for it. I/O thread only.

While nobody waits nothing is popped, and a pop that is under way is ended. A channel is popped message by message until
its consumers prove to be fast; then more and more are taken at a time, which go on counting against the capacity. What
lies here unread for a moment goes back to the head of the channel, where another process finds it. A message that was
delivered never goes back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from ..errors import ServiceBusError, Unavailable
from ..protocol.codec import MAX_FRAME, MalformedFrame, decode_raw
from .drop_counters import Losses
from .mailboxes import Item, Mailboxes
from .shard import Server

MOST_AT_ONCE = 64
LONGEST_PATIENCE = 64
UNREAD_FOR = 0.05

Own = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]

logger = logging.getLogger(__name__)


def read_frames(frames: list[bytes], fence: int, server: Server, losses: Losses) -> list[tuple[str, Item]]:
    """The local name and the item of each frame; what is malformed or of another primary is dropped, and counted."""
    items = []
    for frame in frames:
        try:
            parsed = decode_raw(frame, MAX_FRAME)
        except MalformedFrame as error:
            losses.poison("the server", str(error))
            continue
        if parsed.fence and fence and parsed.fence != fence:
            losses.poison("the server", "another primary had taken it")
            continue
        items.append((parsed.local, Item(server.local_instant(parsed.expires), frame, counted=False)))
    return items


class Pace:
    """How many messages to take at once: one, by a pop that waits, until taking more has proved worth it."""

    __slots__ = ("_full", "_patience", "at_once")

    def __init__(self) -> None:
        self.at_once = 1
        self._full, self._patience = 0, 1

    def popped(self, full: bool) -> None:
        """A pop brought messages; ``full``: as many as it asked for."""
        self._full = self._full + 1 if full else 0
        if self._full >= self._patience:
            self.at_once = 2

    def taken(self, count: int) -> None:
        """Taking brought ``count`` messages. None at all: the next attempt waits for twice as many pops."""
        if count >= self.at_once:
            self.at_once, self._patience = min(self.at_once * 2, MOST_AT_ONCE), 1
            return
        self._patience = 1 if count else min(self._patience * 2, LONGEST_PATIENCE)
        self.slow_down()

    def slow_down(self) -> None:
        """One at a time again."""
        self.at_once, self._full = 1, 0


class Demand:
    """A ``Budget`` for a pop that waits: one message for each consumer that waits, beyond those that have just come.

    ``to_pop`` counts the consumers that the pop is to serve. ``subscribe`` does nothing: the reader wakes its receiver
    itself, whenever a consumer begins to wait.

    Attributes:
        arriving: messages that the last pop has brought and the reader has not put into the mailbox yet.
        asked: how many messages the last pop asked for.
    """

    __slots__ = ("_to_pop", "arriving", "asked")

    def __init__(self, to_pop: Callable[[], int]) -> None:
        self._to_pop = to_pop
        self.arriving = self.asked = 0

    @property
    def available(self) -> int:
        return self._to_pop() - self.arriving

    def expect(self, count: int) -> None:
        self.asked = count

    def take(self, count: int) -> None:
        self.arriving = count

    def release(self, count: int = 1) -> None:
        self.arriving -= count

    def subscribe(self, callback: Callable[[], object]) -> None:
        pass


class ChannelReader:
    """Reads one normal channel on demand. ``own`` keeps the tasks it starts."""

    def __init__(self, server: Server, mailboxes: Mailboxes, channel: str, losses: Losses, own: Own) -> None:
        self._server, self._mailboxes, self._channel = server, mailboxes, channel
        self._losses, self._own = losses, own
        self._pace = Pace()
        self._busy: asyncio.Task[None] | None = None
        self._demand = Demand(self._to_pop)
        # A consumer serves as a worker does: calls to its channel are not refused for want of one.
        self._receiver = server.consume(channel, self._popped, self._demand, worker_id=server.client)
        self._loop = asyncio.get_running_loop()
        self._check: asyncio.TimerHandle | None = None
        self.wanted_at = self._loop.time()

    def wanted(self) -> None:
        """Somebody waits."""
        self.wanted_at = self._loop.time()
        self._ask()

    def unwanted(self) -> None:
        """Somebody went away; when that was the last one, stop popping."""
        if not self._mailboxes.waiting(self._channel):
            self._receiver.interrupt()
            self._look_after()

    async def settled(self) -> None:
        """Return when nothing is being taken or given back."""
        while self._busy is not None:
            await asyncio.wait([self._busy])

    async def stop(self) -> None:
        """Stop reading, and give back what nobody took."""
        await self._leave()
        await self._receiver.stop()
        await self.settled()
        if self._check is not None:
            self._check.cancel()
        await self._give_back()

    async def _leave(self) -> None:
        try:
            await self._server.leave(self._channel, self._server.client)
        except ServiceBusError as error:
            logger.info("could not deregister from %s: %s", self._channel, error)

    def _to_pop(self) -> int:
        if self._busy is not None or self._pace.at_once > 1:
            return 0
        return self._mailboxes.waiting(self._channel)

    def _ask(self) -> None:
        """Take or pop, one at a time, so that the order of messages is kept."""
        if self._busy is not None or not self._mailboxes.waiting(self._channel):
            return
        if self._pace.at_once > 1:
            self._start(self._take())
        else:
            self._receiver.wake()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._busy = self._own(work)
        self._busy.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._busy = None
        if not task.cancelled():
            self._ask()

    def _popped(self, frames: list[bytes], fence: int) -> None:
        self._demand.release(self._demand.arriving)
        self._pace.popped(full=len(frames) >= self._demand.asked)
        self._deliver(frames, fence, counted=False)
        self._ask()

    async def _take(self) -> None:
        try:
            frames = await self._server.take(self._channel, self._pace.at_once)
        except ServiceBusError as error:
            logger.info("%s was not read: %s", self._channel, error)
            self._pace.slow_down()
            return
        self._pace.taken(len(frames))
        self._deliver(frames, self._server.fence_of(self._channel), counted=True)

    def _deliver(self, frames: list[bytes], fence: int, *, counted: bool) -> None:
        for _, item in read_frames(frames, fence, self._server, self._losses):
            self._mailboxes.put(self._channel, item._replace(counted=counted))
        if self._check is not None:
            self._check.cancel()
            self._check = None
        self._look_after()

    def _look_after(self) -> None:
        if self._check is None and self._mailboxes.kept(self._channel):
            self._check = self._loop.call_later(UNREAD_FOR, self._unread)

    def _unread(self) -> None:
        """What lies here was not read for a moment: others may want it."""
        self._check = None
        if self._busy is not None:
            self._look_after()
        elif self._mailboxes.kept(self._channel):
            self._pace.slow_down()
            self._start(self._give_back())

    async def _give_back(self) -> None:
        items = self._mailboxes.withdraw(self._channel)
        if not items:
            return
        held = sum(item.counted for item in items)
        try:
            await self._server.restore(self._channel, [item.frame for item in items], held)
        except Unavailable:
            self._mailboxes.put_back(self._channel, items)
            self._look_after()
        except ServiceBusError as error:
            # They may be back in the channel, and must not be delivered twice.
            self._losses.lose(self._channel, len(items), str(error))
