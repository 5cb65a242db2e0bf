"""Reads a normal channel into its mailbox, while consumers wait for the channel. I/O thread only.

While no consumer waits nothing is popped, and a pop that is running is ended. A channel is popped message by message
until its consumers prove to be fast; then more and more messages are taken at a time, which go on counting against the
capacity. Messages that lie here unread for a moment go back to the head of the channel, where another process finds
them. A message that was delivered never goes back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from ..errors import ServiceBusError
from .drop_counters import DropCounters
from .frames import read_frames
from .mailboxes import Mailboxes
from .pace import Demand, Pace, Step, next_step, to_pop
from .shard import Shard
from .unread import UnreadMessages

Spawn = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
"""Starts a task that its owner keeps until it ends."""

logger = logging.getLogger(__name__)


class ChannelReader:
    """Reads one normal channel on demand.

    Args:
        shard: the server of the channel.
        mailboxes: where messages go.
        channel: the channel.
        counters: counts what is dropped.
        spawn: starts the tasks of this reader.

    Attributes:
        demanded_at: when a consumer last began to wait, in seconds on the clock of the event loop.
    """

    def __init__(self, shard: Shard, mailboxes: Mailboxes, channel: str, counters: DropCounters, spawn: Spawn) -> None:
        self._shard = shard
        self._mailboxes = mailboxes
        self._channel = channel
        self._counters = counters
        self._spawn = spawn
        self._pace = Pace()
        self._unread = UnreadMessages(shard, mailboxes, channel, counters, self._on_unread)
        # A take, or the return of messages, while it runs.
        self._busy: asyncio.Task[None] | None = None
        self._demand = Demand(self._to_pop)
        # A consumer serves as a worker does, so this process registers as a worker: a call to the channel then is not
        # refused because the channel has no workers.
        self._receiver = shard.layer.consume(channel, self._on_popped, self._demand, worker_id=shard.client)
        self._loop = asyncio.get_running_loop()
        self.demanded_at = self._loop.time()

    def add_demand(self) -> None:
        """A consumer waits."""
        self.demanded_at = self._loop.time()
        self._ask()

    def drop_demand(self) -> None:
        """A consumer went away. When it was the last one, the pop is ended."""
        if not self._mailboxes.waiting(self._channel):
            self._receiver.interrupt()
            self._unread.watch()

    async def settled(self) -> None:
        """Return when nothing is being taken or given back. Cancelling is safe: the work goes on."""
        while self._busy is not None:
            await asyncio.wait([self._busy])

    async def stop(self) -> None:
        """Stop reading, and give back what no consumer has read.

        Cancelling leaves the reader half stopped: call ``stop`` again.
        """
        try:
            await self._shard.layer.leave(self._channel, self._shard.client)
        except ServiceBusError as error:
            logger.info("could not deregister from %s: %s", self._channel, error)
        await self._receiver.stop()
        await self.settled()
        await self._unread.give_back()
        self._unread.stop_watching()

    def _to_pop(self) -> int:
        waiting = self._mailboxes.waiting(self._channel)
        return to_pop(busy=self._busy is not None, waiting=waiting, at_once=self._pace.at_once)

    def _ask(self) -> None:
        waiting = self._mailboxes.waiting(self._channel)
        step = next_step(busy=self._busy is not None, waiting=waiting, at_once=self._pace.at_once)
        if step is Step.TAKE:
            self._start(self._take())
        elif step is Step.POP:
            self._receiver.wake()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._busy = self._spawn(work)
        self._busy.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._busy = None
        if not task.cancelled():
            self._ask()

    def _on_popped(self, frames: list[bytes], fence: int) -> None:
        self._demand.release(self._demand.arriving)
        self._pace.popped(full=len(frames) >= self._demand.asked)
        self._deliver(frames, fence, counted=False)
        self._ask()

    async def _take(self) -> None:
        try:
            frames = await self._shard.held.take(self._channel, self._pace.at_once)
        except ServiceBusError as error:
            logger.info("%s was not read: %s", self._channel, error)
            self._pace.slow_down()
            return
        self._pace.taken(len(frames))
        self._deliver(frames, self._shard.fence_of(self._channel), counted=True)

    def _deliver(self, frames: list[bytes], fence: int, *, counted: bool) -> None:
        for _, item in read_frames(frames, fence, self._shard, self._counters):
            self._mailboxes.put(self._channel, item._replace(counted=counted))
        self._unread.watch_anew()

    def _on_unread(self) -> None:
        if self._busy is not None:
            self._unread.watch()
        else:
            self._pace.slow_down()
            self._start(self._unread.give_back())
