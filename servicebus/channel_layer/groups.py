"""Groups. The server knows, for each group, the processes and normal channels in it; a process knows its own members.

So a group with a thousand members in one process costs one stored copy, which that process fans out. A process that
does not own a process-local channel changes its membership by a word in the owner's inbox, in line with what is sent
there.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from ..errors import (
    ChannelFull,
    NoWorkers,
    SendUnknown,
    ServiceBusError,
    Unavailable,
)
from ..layers.delivery import PLAIN, TO_WORKERS, Options
from ..protocol.addresses import split_address
from ..protocol.codec import MAX_FRAME, MalformedFrame, encode_frame
from .control_messages import (
    FAN_OUT,
    FLUSH,
    FLUSHED,
    JOIN,
    LEAVE,
    LOST,
    WORDS,
    Word,
    read_word,
)
from .hosts import shard_of
from .mailboxes import Item
from .shard import Server

if TYPE_CHECKING:
    from .engine import Engine

READY_WITHIN = 5.0
FLUSHED_WITHIN = 0.5
AT_ONCE = 256
REMEMBERED = 10_000

FrameFor = Callable[[Server, str, str], bytes]
"""The frame of a group's message for a server, the list there that it goes to, and a local name."""

logger = logging.getLogger(__name__)


class Copy:
    """One message of a group, on its way to one member of it."""

    __slots__ = ("channel", "frame", "future", "options")

    def __init__(self, channel: str, frame: bytes, options: Options) -> None:
        self.channel, self.frame, self.options = channel, frame, options
        self.future: asyncio.Future[ServiceBusError | None] = asyncio.get_running_loop().create_future()

    def settle(self, error: ServiceBusError | None) -> None:
        if not self.future.done():
            self.future.set_result(error)


class Membership:
    """The groups of one layer. I/O thread only."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._table = engine, engine.groups
        self._inbox = engine.profile.inbox
        self._kept_at = time.monotonic()
        self._seen: dict[str, list[str]] = {}
        self._flushing: dict[str, tuple[set[str], asyncio.Event]] = {}

    async def add(self, group: str, channel: str) -> None:
        """Make ``channel`` a member. Raises Unavailable or SendUnknown."""
        engine, (inbox, local) = self._engine, split_address(channel)
        home = await engine.opened(group)
        if inbox == self._inbox:
            await self._ready()
            self._table.add(group, channel, time.monotonic())
        elif local:
            server = await engine.opened(inbox)
            await server.expect(inbox)
            await self._say(inbox, Word(JOIN, group, channel))
        await home.join(group, inbox)

    async def discard(self, group: str, channel: str) -> None:
        """End the membership of ``channel``. Raises Unavailable or SendUnknown."""
        inbox, local = split_address(channel)
        if inbox == self._inbox:
            self._table.discard(group, channel)
            await self._leave_if_empty(group)
        elif local:
            await self._say(inbox, Word(LEAVE, group, channel))
        else:
            await (await self._engine.opened(group)).leave_group(group, channel)

    async def send(self, group: str, frame_for: FrameFor) -> None:
        """One copy to each process and normal channel in the group. A full one misses it.

        Raises Unavailable or SendUnknown when there was one that could not be reached, after all others got theirs.
        """
        home = await self._engine.opened(group)
        copies: dict[str, Copy] = {}
        failure = await self._push_all(copies, group, self._seen.get(group, ()), frame_for)
        members: list[str] = []
        try:
            members = await home.subscribers(group)
            failure = await self._push_all(copies, group, members, frame_for) or failure
            self._remember(group, [member for member in members if member.endswith("!")])
        except ServiceBusError as unknown:
            failure = unknown
        somebody_has_it = False
        for member, copy in copies.items():
            error = await copy.future
            somebody_has_it = somebody_has_it or error is None or error.executed != "no"
            if error is not None and member in members:
                failure = await self._settled(group, copy, error) or failure
        if failure is not None and somebody_has_it:
            raise SendUnknown(group, f"some members have it, others do not: {failure}") from failure
        if failure is not None:
            raise failure

    def take(self, local: str, item: Item) -> bool:
        """Handle a frame of the inbox that concerns groups; False for any other."""
        if local.startswith(FAN_OUT):
            self._fan_out(local[len(FAN_OUT) :], item)
        elif local in WORDS:
            self._heed(item)
        else:
            return False
        return True

    def joined_on(self, shard: int) -> Iterator[str]:
        """The groups of this process that one server knows of."""
        shards = len(self._engine.profile.targets)
        return (group for group in self._table.names() if shard_of(group, shards) == shard)

    async def keep(self) -> None:
        """Four times per expiry: who waits stays, who is too old goes, and the server hears which groups are left."""
        now = time.monotonic()
        if now - self._kept_at < self._table.expiry / 4:
            return
        self._kept_at = now
        self._table.refresh(now, self._is_live)
        for group in self._table.names():
            self._table.members(group, now, self._is_live)
        names = self._table.names()
        for at in range(0, len(names), AT_ONCE):
            await asyncio.gather(*(self._join(group) for group in names[at : at + AT_ONCE]))

    async def flush(self) -> None:
        """Have every process forget what it holds, this one too, and wait for it; half a second at most."""
        inboxes = {inbox for server in await self._engine.all_opened() for inbox in await server.inboxes()}
        if inboxes - {self._inbox}:
            await self._ready()
        elif not self._engine.is_read(self._inbox):
            return
        inboxes.add(self._inbox)
        token, heard = uuid.uuid4().hex, asyncio.Event()
        self._flushing[token] = (set(inboxes), heard)
        try:
            async with asyncio.timeout(FLUSHED_WITHIN):
                await asyncio.gather(*(self._say(inbox, Word(FLUSH, token, self._inbox)) for inbox in inboxes))
                await heard.wait()
        except TimeoutError:
            logger.info("flush: %d processes did not answer", len(self._flushing[token][0]))
        finally:
            del self._flushing[token]

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(READY_WITHIN):
                await self._engine.opened(self._inbox)
                await self._engine.read_inbox()
        except TimeoutError as error:
            raise Unavailable(f"the inbox of this process was not opened within {READY_WITHIN:.0f} s") from error

    async def _push_all(
        self,
        copies: dict[str, Copy],
        group: str,
        members: Iterable[str],
        frame_for: FrameFor,
    ) -> ServiceBusError | None:
        """Push to those that have no copy yet; why one could not be reached."""
        failure: ServiceBusError | None = None
        for member in members:
            if member not in copies:
                try:
                    copies[member] = self._push(await self._engine.opened(member), group, member, frame_for)
                except ServiceBusError as error:
                    failure = error
        return failure

    def _remember(self, group: str, inboxes: list[str]) -> None:
        """The next message goes to them at once, while the server is asked who is in the group.

        One that is not in it any more has no members to fan out to, and says so. Normal channels cannot, and wait.
        """
        if len(self._seen) >= REMEMBERED:
            self._seen.clear()
        self._seen[group] = inboxes

    def _push(self, server: Server, group: str, member: str, frame_for: FrameFor) -> Copy:
        if member.endswith("!"):
            copy = Copy(member, frame_for(server, member, FAN_OUT + group), TO_WORKERS)
            if member == self._inbox:
                self._engine.underway.sent(copy.frame)
                copy.future.add_done_callback(partial(self._refused, copy.frame))
        else:
            copy = Copy(member, frame_for(server, member, ""), Options(counted=member))
        server.push(copy)
        return copy

    def _refused(self, frame: bytes, settled: asyncio.Future[ServiceBusError | None]) -> None:
        """What may still come is waited for by ``underway``."""
        error = None if settled.cancelled() else settled.result()
        if error is not None and not isinstance(error, SendUnknown):
            self._engine.underway.ended(frame)

    async def _settled(self, group: str, copy: Copy, error: ServiceBusError | None) -> ServiceBusError | None:
        """What is to be raised for this copy."""
        if isinstance(error, ChannelFull):
            self._engine.losses.group_drop(group, copy.channel)
            return None
        if isinstance(error, NoWorkers):
            # A process that only seemed dead hears of it when it reads on, and comes back.
            await (await self._engine.opened(group)).leave_group(group, copy.channel)
            await self._say(copy.channel, Word(LOST, group))
            return None
        return error

    def _fan_out(self, group: str, item: Item) -> None:
        members = self._table.members(group, time.monotonic(), self._is_live)
        if not members:
            self._engine.own(self._quietly(lambda: self._leave_if_empty(group)))
        for channel in self._engine.mailboxes.put_to_all(members, item, self._engine.capacity.of_channel):
            self._engine.losses.group_drop(group, channel)

    def _heed(self, item: Item) -> None:
        try:
            word = read_word(item.frame)
        except MalformedFrame as error:
            self._engine.losses.poison("this process's inbox", str(error))
            return
        if word.type == JOIN:
            self._table.add(word.group, word.channel, time.monotonic())
        elif word.type == LEAVE:
            self._table.discard(word.group, word.channel)
            self._engine.own(self._quietly(lambda: self._leave_if_empty(word.group)))
        elif word.type == LOST:
            self._engine.own(self._quietly(lambda: self._join(word.group)))
        elif word.type == FLUSH:
            self._engine.own(self._quietly(lambda: self._forget(word)))
        else:
            self._hear(word)

    async def _forget(self, word: Word) -> None:
        await self._engine.forget()
        if word.channel == self._inbox:
            self._hear(Word(FLUSHED, word.group, self._inbox))
        else:
            await self._say(word.channel, Word(FLUSHED, word.group, self._inbox))

    def _hear(self, word: Word) -> None:
        missing, heard = self._flushing.get(word.group, (set(), None))
        missing.discard(word.channel)
        if heard is not None and not missing:
            heard.set()

    async def _join(self, group: str) -> None:
        if group in self._table:
            await (await self._engine.opened(group)).join(group, self._inbox)

    async def _leave_if_empty(self, group: str) -> None:
        """Nothing is awaited between the look and the command, so that no ``add`` comes between."""
        home = await self._engine.opened(group)
        if group not in self._table:
            await home.leave_group(group, self._inbox)

    async def _say(self, inbox: str, word: Word) -> None:
        server = await self._engine.opened(inbox)
        expires = server.now_ms() + int(self._engine.profile.limits.expiry * 1000)
        copy = Copy(inbox, encode_frame(server.fence_of(inbox), expires, word.type, word, MAX_FRAME), PLAIN)
        server.push(copy)
        error = await copy.future
        if error is not None:
            raise error

    async def _quietly(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except ServiceBusError as error:
            logger.info("the server's knowledge of the groups is late: %s", error)

    def _is_live(self, channel: str) -> bool:
        return self._engine.mailboxes.waiting(channel) > 0
