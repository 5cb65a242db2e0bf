"""Sends messages to groups: one copy to each process and normal channel in the group. I/O thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from ..errors import ChannelFull, NoWorkers, SendUnknown, ServiceBusError
from ..foundation.memo import MAX_ENTRIES
from ..layers.delivery import TO_WORKERS, Options
from ..protocol.control_messages import FAN_OUT, LOST, ControlMessage
from .control_sender import InternalDelivery, Opened, SendControl
from .drop_counters import DropCounters
from .in_flight import InFlight
from .shard import Shard

FrameFor = Callable[[Shard, str, str], bytes]
"""The frame of a group's message for a server, the list there that the frame goes to, and a local name."""


class GroupSender:
    """Sends to the groups of one layer.

    Args:
        inbox: the inbox of this process.
        opened: finds the server of a group or member.
        send_control: sends control messages.
        in_flight: is told of copies for this process.
        counters: counts copies that full members missed.
    """

    def __init__(
        self, inbox: str, opened: Opened, send_control: SendControl, in_flight: InFlight, counters: DropCounters
    ) -> None:
        self._inbox = inbox
        self._opened = opened
        self._send_control = send_control
        self._in_flight = in_flight
        self._counters = counters
        # Group to the inboxes of the processes that were in it at the last message.
        self._seen: dict[str, list[str]] = {}

    async def send(self, group: str, frame_for: FrameFor) -> None:
        """Send one copy to each process and normal channel in the group. A full one misses its copy.

        Cancelling is safe: members may or may not get the message.

        Raises:
            Unavailable: no member has the message, and one of them could not be reached.
            SendUnknown: some members have the message, and others may not.
        """
        home = await self._opened(group)
        copies: dict[str, InternalDelivery] = {}
        failure = await self._push_all(copies, group, self._seen.get(group, ()), frame_for)
        members: list[str] = []
        try:
            members = await home.layer.subscribers(group)
            failure = await self._push_all(copies, group, members, frame_for) or failure
            self._remember(group, [member for member in members if member.endswith("!")])
        except ServiceBusError as unknown:
            failure = unknown
        delivered = False
        for member, copy in copies.items():
            error = await copy.outcome
            delivered = delivered or error is None or error.executed != "no"
            if error is not None and member in members:
                failure = await self._on_refused(group, copy, error) or failure
        if failure is not None and delivered:
            raise SendUnknown(group, f"some members have it, others do not: {failure}") from failure
        if failure is not None:
            raise failure

    async def _push_all(
        self, copies: dict[str, InternalDelivery], group: str, members: Iterable[str], frame_for: FrameFor
    ) -> ServiceBusError | None:
        """Push to the members that have no copy in ``copies`` yet; return why one could not be reached."""
        failure: ServiceBusError | None = None
        for member in members:
            if member not in copies:
                try:
                    copies[member] = self._push(await self._opened(member), group, member, frame_for)
                except ServiceBusError as error:
                    failure = error
        return failure

    def _remember(self, group: str, inboxes: list[str]) -> None:
        """The next message goes to these processes at once, while the server is asked who is in the group.

        A process that is not in the group any more has no members to fan out to, and leaves the group. A normal channel
        cannot do that, so its copy waits for the answer of the server.
        """
        if len(self._seen) >= MAX_ENTRIES:
            self._seen.clear()
        self._seen[group] = inboxes

    def _push(self, shard: Shard, group: str, member: str, frame_for: FrameFor) -> InternalDelivery:
        if member.endswith("!"):
            copy = InternalDelivery(member, frame_for(shard, member, FAN_OUT + group), TO_WORKERS)
            if member == self._inbox:
                self._in_flight.sent(copy.frame)
                copy.outcome.add_done_callback(partial(self._on_settled, copy.frame))
        else:
            copy = InternalDelivery(member, frame_for(shard, member, ""), Options(counted=member))
        shard.push(copy)
        return copy

    def _on_settled(self, frame: bytes, outcome: asyncio.Future[ServiceBusError | None]) -> None:
        """A copy for this process was refused, so it will not come. One that may still come stays in flight."""
        error = None if outcome.cancelled() else outcome.result()
        if error is not None and not isinstance(error, SendUnknown):
            self._in_flight.ended(frame)

    async def _on_refused(self, group: str, copy: InternalDelivery, error: ServiceBusError) -> ServiceBusError | None:
        """Act on the error of a copy, and return what is to be raised for it."""
        if isinstance(error, ChannelFull):
            self._counters.drop_group_copy(group, copy.channel)
            return None
        if isinstance(error, NoWorkers):
            # A process that only seemed dead reads this when it goes on, and registers again.
            await (await self._opened(group)).groups.leave(group, copy.channel)
            await self._send_control(copy.channel, ControlMessage(LOST, group))
            return None
        return error
