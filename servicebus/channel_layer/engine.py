"""The I/O side of a Channels layer: its servers and its readers, from its first use until it is closed.

The inbox of the process is read all the time, into mailboxes; the server keeps to the capacity of each channel. A
normal channel is read only while a consumer waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from ..errors import ServiceBusError
from ..foundation.tasks import TaskSet
from ..protocol.codec import restamped
from .count_reports import CountReports
from .drop_counters import DropCounters
from .group_table import GroupTable
from .in_flight import InFlight
from .inbox import Inbox
from .io_thread import IOThread
from .mailboxes import Mailboxes
from .profile import Profile
from .reader_table import ReaderTable
from .sending import MessageDelivery
from .shards import Shards

logger = logging.getLogger(__name__)


class Engine:
    """One layer's connections, and what the layer keeps of them. Made and used in the I/O thread.

    ``push_directly`` and ``is_read`` are for any thread.

    Args:
        io_thread: the I/O thread.
        profile: what the layer was configured with.
        mailboxes: hold what was received; they outlive the engine.
        table: the memberships of this process; they outlive the engine.
        counters: count what is dropped.
        in_flight: what this process has sent to its own inbox; it outlives the engine.
        clock: the monotonic clock, in seconds.

    Attributes:
        shards: the servers.
        inbox: the inbox of this process, with the groups.
    """

    def __init__(
        self,
        io_thread: IOThread,
        profile: Profile,
        mailboxes: Mailboxes,
        table: GroupTable,
        counters: DropCounters,
        in_flight: InFlight,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.io_thread = io_thread
        self._profile = profile
        self._mailboxes = mailboxes
        self._table = table
        self._tasks = TaskSet()
        spawn = self._tasks.spawn
        self.shards = Shards(profile, spawn, table.names, lambda: self._reports.flush_counts())
        self._reports = CountReports(mailboxes.counts, self.shards.connected, profile.inbox)
        self._readers = ReaderTable(self.shards, mailboxes, counters, spawn)
        self.inbox = Inbox(
            profile,
            self.shards,
            mailboxes,
            table,
            counters=counters,
            in_flight=in_flight,
            forget=self._forget,
            spawn=spawn,
            clock=clock,
        )
        # Kept, so that ``close`` ends this subscription and no later one.
        self._on_counts: Callable[[], object] = lambda: io_thread.post(self._reports.flush_soon, None)
        self._start()

    def _start(self) -> None:
        self._tasks.spawn(self._maintain())
        self._mailboxes.counts.subscribe(self._on_counts)
        self.io_thread.closers.add(self.close)
        # Go on where the engine before this one was closed.
        for channel in self._mailboxes.awaited():
            self.add_demand(channel)
        if self._table:
            self.add_demand(self._profile.inbox)

    def push(self, message: MessageDelivery) -> None:
        """Send a message, after the server has been told what was taken from the channel of the message before."""
        if self._mailboxes.counts.has_changed(message.options.counted):
            self._reports.flush_counts()
        fence = message.shard.fence_of(message.channel)
        if fence != message.fence:  # another primary took over after the frame was built, in another thread
            message.frame = restamped(message.frame, fence)
        message.shard.push(message)

    def push_directly(self, message: MessageDelivery) -> bool:
        """Send a message at once, from the thread of its sender, when nothing else is on its way.

        The server may still count what was taken from the channel a moment ago. A message that the server refuses is
        sent once more by ``push``, which tells the server first.

        Returns:
            False when the message was not sent.
        """
        if not self.io_thread.quiet or self._mailboxes.counts.has_changed(message.options.counted):
            return False
        message.on_full = self.push
        if message.shard.push_directly(message, message.fence):
            return True
        message.on_full = None
        return False

    def is_read(self, channel: str) -> bool:
        """Whether ``channel`` is read all the time already, so that a consumer need not ask for it. From any thread."""
        return self.inbox.reader.is_read and "!" in channel

    def add_demand(self, channel: str) -> None:
        """A consumer waits for ``channel``: read it."""
        if self.shards.closing:
            return
        if "!" in channel:
            self.inbox.reader.start()
        else:
            self._readers.add_demand(channel)

    def drop_demand(self, channel: str) -> None:
        """A consumer that waited for the normal channel ``channel`` went away."""
        self._readers.drop_demand(channel)

    async def close(self) -> None:
        """Give back what no consumer took, then disconnect. What is in mailboxes of this process stays there.

        Idempotent. Cancelling leaves connections open.
        """
        self.io_thread.closers.discard(self.close)
        self.shards.closing = True
        await self._readers.stop()
        self._reports.flush_counts()
        self._mailboxes.counts.unsubscribe(self._on_counts)
        await self._tasks.cancel()
        await self.shards.close()
        await self._tasks.cancel()  # the tasks that the last frames of a connection started

    async def flush(self) -> None:
        """Remove every message and group, here, on the servers, and in the other processes.

        Cancelling is safe: some may have been removed. Raises Unavailable or SendUnknown.
        """
        for shard in await self.shards.all_opened():
            await shard.prefix.flush()
        await self.inbox.process_flush.flush()
        await self._forget()

    async def _forget(self) -> None:
        """Drop what this process holds: messages and memberships."""
        await self._readers.settled()
        self._mailboxes.clear()
        self._table.clear()

    async def _maintain(self) -> None:
        """Now and then: drop what expired, close readers that no consumer needs, keep the groups registered."""
        while True:
            await asyncio.sleep(self._profile.maintenance_interval)
            self._mailboxes.sweep()
            self._reports.flush_counts()  # what was deferred, too
            try:
                await self._readers.close_idle()
                await self.inbox.groups.renew()
            except ServiceBusError as error:
                logger.info("the groups were not refreshed: %s", error)
            except Exception:
                logger.exception("the groups were not refreshed")
