"""Memberships. The server knows, for each group, the processes and normal channels in it; a process knows its members.

So a group with a thousand members in one process costs one stored copy, which that process fans out. A process that
does not own a process-local channel changes the membership of that channel by a control message to the inbox of the
owner, in line with what is sent there. I/O thread only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from ..protocol.addresses import split_address
from ..protocol.codec import MalformedFrame
from ..protocol.control_messages import JOIN, LEAVE, ControlMessage
from .channel_reader import Spawn
from .control_sender import Opened, SendControl
from .group_repairs import GroupRepairs
from .group_table import GroupTable, IsLive

JOINS_AT_ONCE = 256
"""Groups that are registered again together, so that a process with many groups does not fill its connection."""
ROUNDS_PER_EXPIRY = 4
"""How often within the expiry of groups memberships are renewed: three renewals may be late or lost."""
MAX_MEMBERSHIPS = 1_000_000
"""Memberships in one process, up to which other processes may add more: 200 MB, far more than a process has sockets."""
MAX_LEAVES = 1000
"""Groups that are left at once because a frame named them: each is a command, and any name may stand in a frame."""


class Groups:
    """The memberships of one layer's channels.

    Args:
        inbox: the inbox of this process.
        table: the members in this process.
        opened: finds the server of a group or inbox.
        ready: returns when the inbox of this process is being read.
        send_control: sends control messages.
        spawn: starts tasks that nothing waits for.
        is_live: whether a consumer waits for a channel.
        clock: the monotonic clock, in seconds.
    """

    def __init__(
        self,
        inbox: str,
        table: GroupTable,
        *,
        opened: Opened,
        ready: Callable[[], Awaitable[None]],
        send_control: SendControl,
        spawn: Spawn,
        is_live: IsLive,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbox = inbox
        self._table = table
        self._opened = opened
        self._ready = ready
        self._send_control = send_control
        self._is_live = is_live
        self._clock = clock
        self._joins = GroupRepairs(self._join, spawn, MAX_MEMBERSHIPS)
        self._leaves = GroupRepairs(self._leave_if_empty, spawn, MAX_LEAVES)
        # When all memberships were last renewed.
        self._renewed_at = clock()

    async def add(self, group: str, channel: str) -> None:
        """Make ``channel`` a member.

        Cancelling is safe: the channel may or may not be a member.

        Raises:
            Unavailable: the channel was not added.
            SendUnknown: the channel may have been added.
        """
        inbox, local = split_address(channel)
        home = await self._opened(group)
        if inbox == self._inbox:
            await self._ready()
            self._table.add(group, channel, self._clock())
        elif local:
            shard = await self._opened(inbox)
            await shard.groups.expect_worker(inbox)
            await self._send_control(inbox, ControlMessage(JOIN, group, channel))
        await home.groups.join(group, inbox)

    async def discard(self, group: str, channel: str) -> None:
        """End the membership of ``channel``. Raises and is cancelled as ``add``."""
        inbox, local = split_address(channel)
        if inbox == self._inbox:
            self._table.discard(group, channel)
            await self._leave_if_empty(group)
        elif local:
            await self._send_control(inbox, ControlMessage(LEAVE, group, channel))
        else:
            await (await self._opened(group)).groups.leave(group, channel)

    async def renew(self) -> None:
        """A few times per expiry: renew memberships, remove members that are too old, and register what is left.

        Cancelling is safe: the next round renews everything. Raises Unavailable or SendUnknown.
        """
        now = self._clock()
        if now - self._renewed_at < self._table.expiry / ROUNDS_PER_EXPIRY:
            return
        self._renewed_at = now
        self._table.refresh(now, self._is_live)
        names = self._table.names()
        for at in range(0, len(names), JOINS_AT_ONCE):
            await asyncio.gather(*(self._join(group) for group in names[at : at + JOINS_AT_ONCE]))

    def on_join(self, message: ControlMessage) -> None:
        """Another process adds a channel of this one.

        Raises:
            MalformedFrame: other processes have added too many.
        """
        if self._table.size >= MAX_MEMBERSHIPS:
            raise MalformedFrame(f"{MAX_MEMBERSHIPS} memberships of this process are the most that others may add to")
        self._table.add(message.group, message.channel, self._clock())

    def on_leave(self, message: ControlMessage) -> None:
        """Another process removes a channel of this one."""
        self._table.discard(message.group, message.channel)
        self.on_empty(message.group)

    def on_lost(self, message: ControlMessage) -> None:
        """The server no longer lists this process under a group: register again if there are members."""
        if message.group in self._table:
            self._joins.ask(message.group)

    def on_empty(self, group: str) -> None:
        """A group may have no members here any more: the server need not know this process."""
        self._leaves.ask(group)

    async def _join(self, group: str) -> None:
        if group in self._table:
            await (await self._opened(group)).groups.join(group, self._inbox)

    async def _leave_if_empty(self, group: str) -> None:
        # Nothing is awaited between the look at the table and the command, so that no ``add`` comes between.
        home = await self._opened(group)
        if group not in self._table:
            await home.groups.leave(group, self._inbox)
