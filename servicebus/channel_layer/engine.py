"""The I/O side of a Channels layer: its servers and its readers. Everything here runs in the I/O thread.

The inbox of the process is read all the time, into mailboxes; the server keeps to the capacity of each channel. A
normal channel is read only while somebody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ..errors import ConfigurationError, ServiceBusError, Unavailable
from ..layers.delivery import Delivery
from ..layers.limits import CapacityOf, Limits
from ..layers.redis.receiving.receiver import Receiver
from ..layers.redis.topology.target import Target
from ..protocol.addresses import full_name, split_address
from ..protocol.bundles import unbundled
from ..protocol.codec import restamped
from ..protocol.credit import Credit
from .channel_reader import ChannelReader, read_frames
from .drop_counters import Losses
from .group_table import GroupTable
from .groups import Membership
from .hosts import shard_of
from .in_flight import Underway
from .io_thread import Portal
from .mailboxes import Item, Mailboxes
from .shard import Server

INBOX_AT_ONCE = 128
RETRY = 0.2
IDLE_FOR = 10.0
CARE = 2.0
LEAST_CARE = 0.05
TELL_AFTER = 0.002
CLOSED = "this layer was closed"

logger = logging.getLogger(__name__)


T = TypeVar("T")


class Closed(Unavailable):
    """This engine ends. The next one can be asked."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a layer was configured with. ``client`` names this process in its process-local channels."""

    targets: tuple[Target, ...]
    prefix: str
    limits: Limits
    group_expiry: float
    client: str

    @property
    def inbox(self) -> str:
        return f"{self.client}!"

    @property
    def care(self) -> float:
        """Seconds between looks at what expires: a twentieth of the expiry at most."""
        return max(LEAST_CARE, min(CARE, self.limits.expiry / 20, self.group_expiry / 8))


class Outgoing(Delivery, Protocol):
    """A delivery that knows its server, and the fence that it was built under."""

    server: Server
    fence: int
    on_full: Callable[[Any], None] | None


class Engine:
    """One layer's connections, and what it keeps of them. Made and used in the I/O thread."""

    def __init__(
        self,
        portal: Portal,
        profile: Profile,
        mailboxes: Mailboxes,
        groups: GroupTable,
        losses: Losses,
        underway: Underway,
    ) -> None:
        self.portal, self.profile = portal, profile
        self.mailboxes, self.groups, self.losses, self.underway = mailboxes, groups, losses, underway
        self.capacity = CapacityOf(profile.limits)
        self.membership = Membership(self)
        self.servers: dict[int, Server] = {}
        self._opening: dict[int, asyncio.Task[Server]] = {}
        self._readers: dict[str, asyncio.Task[ChannelReader]] = {}
        self._inbox: asyncio.Task[Receiver] | None = None
        self._inbox_is_read = self._closing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self.own(self._take_care())
        self._on_change: Callable[[], object] = lambda: portal.post(self._tell_soon, None)
        mailboxes.on_change = self._on_change
        portal.closers.add(self.close)
        self._resume()

    async def opened(self, name: str) -> Server:
        """The server that ``name`` lives on, connected. Raises Unavailable or ConfigurationError."""
        return await self._shard(shard_of(name, len(self.profile.targets)))

    async def all_opened(self) -> list[Server]:
        """Every server."""
        return [await self._shard(shard) for shard in range(len(self.profile.targets))]

    def push(self, outgoing: Outgoing) -> None:
        """Send a frame, after what was taken from its channel before it was counted off."""
        if self.mailboxes.has_changed(outgoing.options.counted):
            self.tell()
        fence = outgoing.server.fence_of(outgoing.channel)
        if fence != outgoing.fence:  # there is another primary since it was built, in another thread
            outgoing.frame = restamped(outgoing.frame, fence)
        outgoing.server.push(outgoing)

    def push_through(self, outgoing: Outgoing) -> bool:
        """Send a frame at once, from the thread of its sender, when nothing else is on its way; False: it was not.

        The server may still count what was taken from its channel a moment ago. A frame that it refuses goes the longer
        way, behind the word of what was taken.
        """
        if not self.portal.quiet or self.mailboxes.has_changed(outgoing.options.counted):
            return False
        outgoing.on_full = self.push
        if outgoing.server.push_through(outgoing, outgoing.fence):
            return True
        outgoing.on_full = None
        return False

    def is_read(self, channel: str) -> bool:
        """Whether ``channel`` is read all the time already, so that nobody need ask. From any thread."""
        return self._inbox_is_read and "!" in channel

    def wanted(self, channel: str) -> None:
        """Somebody waits for ``channel``: read it."""
        if self._closing:
            return
        if "!" in channel:
            if self._inbox is None:
                self._inbox = self.own(self._open_inbox())
            return
        task = self._readers.get(channel)
        if task is None:
            self._readers[channel] = self.own(self._read(channel))
        elif task.done():
            task.result().wanted()

    def unwanted(self, channel: str) -> None:
        """A waiter of ``channel`` went away."""
        task = self._readers.get(channel)
        if task is not None and task.done():
            task.result().unwanted()

    async def read_inbox(self) -> None:
        """Return once the inbox is being read and this process is known to be alive. Cancelling is safe."""
        self.wanted(self.profile.inbox)
        if self._inbox is None:
            raise Closed(CLOSED)
        await _result_of(self._inbox)

    def own(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run ``work`` as a task of this engine."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def tell(self) -> None:
        """Tell the servers what consumers took of what is counted against capacities."""
        shards, inbox = len(self.profile.targets), self.profile.inbox
        locals_taken: dict[str, int] = {}
        for channel, count in self.mailboxes.changes().items():
            name, local = split_address(channel)
            server = self.servers.get(shard_of(name, shards))
            if server is None:
                self.mailboxes.put_off(channel, count)
            elif local:
                locals_taken[local] = count
            else:
                server.release(channel, count)
        if locals_taken:
            server = self.servers[shard_of(inbox, shards)]
            server.taken(inbox, locals_taken, lambda: self._tell_again(locals_taken))

    def _tell_again(self, locals_taken: dict[str, int]) -> None:
        """Perhaps it heard. Counted off twice, a channel has more room until it is empty; never, less for ever."""
        for local, count in locals_taken.items():
            self.mailboxes.put_off(full_name(self.profile.inbox, local), count)
        asyncio.get_running_loop().call_later(RETRY, self.tell)

    async def close(self) -> None:
        """Give back what nobody took, then disconnect. What is in mailboxes of this process stays there. Idempotent."""
        self.portal.closers.discard(self.close)
        self._closing = True
        await asyncio.gather(*(reader.stop() for reader in self._open_readers()))
        self.tell()
        if self.mailboxes.on_change is self._on_change:  # and not the next engine's
            self.mailboxes.on_change = _nobody
        await self._end_tasks()
        servers, self.servers = self.servers, {}
        await asyncio.gather(*(server.close() for server in servers.values()))
        await self._end_tasks()  # those that the last frames of a connection began

    async def flush(self) -> None:
        """Remove every message and group, here, on the servers, and in the other processes."""
        for server in await self.all_opened():
            await server.flush()
        await self.membership.flush()
        await self.forget()

    async def forget(self) -> None:
        """Drop what this process holds: messages and memberships."""
        for reader in self._open_readers():
            await reader.settled()
        self.mailboxes.clear()
        self.groups.clear()

    async def _end_tasks(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _tell_soon(self, _: None) -> None:
        """Most of what is kept is taken a moment later, and need not be told at all."""
        asyncio.get_running_loop().call_later(TELL_AFTER, self.tell)

    def _open_readers(self) -> list[ChannelReader]:
        done = [task for task in self._readers.values() if task.done() and not task.cancelled()]
        return [task.result() for task in done]

    def _resume(self) -> None:
        """Go on where an engine before this one was closed."""
        for channel in self.mailboxes.awaited():
            self.wanted(channel)
        if self.groups:
            self.wanted(self.profile.inbox)

    async def _shard(self, shard: int) -> Server:
        if shard in self.servers:
            return self.servers[shard]
        if self._closing:
            raise Closed(CLOSED)
        if shard not in self._opening:
            self._opening[shard] = self.own(self._open(shard))
        return await _result_of(self._opening[shard])

    async def _open(self, shard: int) -> Server:
        profile = self.profile
        server = Server(
            profile.targets[shard],
            profile.prefix,
            profile.limits,
            profile.client,
            lambda: self.membership.joined_on(shard),
        )
        server.group_expiry_ms = int(profile.group_expiry * 1000)
        try:
            await server.open()
            self.servers[shard] = server
        finally:
            del self._opening[shard]
        self.tell()
        return server

    async def _open_inbox(self) -> Receiver:
        server = await self._until_opened(self.profile.inbox)
        credit = Credit(INBOX_AT_ONCE)

        def deliver(elements: list[bytes], fence: int) -> None:
            for local, item in read_frames(unbundled(elements), fence, server, self.losses):
                self._sort(local, item)
                self.underway.ended(item.frame)
            credit.release(len(elements))

        receiver = server.consume(self.profile.inbox, deliver, credit, worker_id=self.profile.client)
        await receiver.ready()
        self._inbox_is_read = True
        return receiver

    def _sort(self, local: str, item: Item) -> None:
        """Into the mailbox of one channel, or to membership what concerns groups."""
        if local[:1] in "*+" and self.membership.take(local, item):
            return
        self.mailboxes.put(full_name(self.profile.inbox, local), item._replace(counted=True))

    async def _read(self, channel: str) -> ChannelReader:
        server = await self._until_opened(channel)
        reader = ChannelReader(server, self.mailboxes, channel, self.losses, self.own)
        reader.wanted()
        return reader

    async def _until_opened(self, name: str) -> Server:
        """A receive waits for ever, and so for a server."""
        while True:
            try:
                return await self.opened(name)
            except Closed:
                raise asyncio.CancelledError from None  # as all tasks of this engine are
            except ServiceBusError as error:
                level = logging.ERROR if isinstance(error, ConfigurationError) else logging.WARNING
                logger.log(level, "cannot receive: %s", error)
                await asyncio.sleep(RETRY)

    async def _take_care(self) -> None:
        """Now and then: drop what expired, close readers that nobody needs, keep the groups known."""
        while True:
            await asyncio.sleep(self.profile.care)
            self.mailboxes.sweep()
            self.tell()  # what was put off, too
            try:
                await self._close_idle()
                await self.membership.keep()
            except ServiceBusError as error:
                logger.info("the groups were not refreshed: %s", error)
            except Exception:
                logger.exception("the groups were not refreshed")

    async def _close_idle(self) -> None:
        idle_since = asyncio.get_running_loop().time() - IDLE_FOR
        for channel, task in list(self._readers.items()):
            if task.done() and task.result().wanted_at < idle_since and not self.mailboxes.waiting(channel):
                del self._readers[channel]
                await task.result().stop()


async def _result_of(task: asyncio.Task[T]) -> T:
    """What a task of an engine gives, or Closed when that has ended it. Cancelling is safe: the task goes on."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if task.cancelled() and not (current and current.cancelling()):
            raise Closed(CLOSED) from None
        raise


def _nobody() -> None:
    """Changes wait for the next engine."""
