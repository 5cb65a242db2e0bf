"""Everything that goes through the inbox of this process: its messages, its groups, and what other processes report."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from ..layers.limits import CapacityOf
from ..protocol.control_messages import FLUSH, FLUSHED, JOIN, LEAVE, LOST
from .channel_reader import Spawn
from .control_sender import ControlSender
from .drop_counters import DropCounters
from .group_sender import GroupSender
from .group_table import GroupTable
from .groups import Groups
from .in_flight import InFlight
from .inbox_reader import InboxReader
from .inbox_sorter import FanOut, InboxSorter
from .mailboxes import Mailboxes
from .process_flush import ProcessFlush
from .profile import Profile
from .shards import Shards


class Inbox:
    """The parts that the inbox connects. I/O thread only.

    Args:
        profile: what the layer was configured with.
        shards: the servers.
        mailboxes: take what is for the channels of this process.
        table: the members of groups in this process.
        counters: count what is dropped.
        in_flight: what this process has sent to its own inbox.
        forget: drops what this process holds.
        spawn: starts tasks that their engine keeps.
        clock: the monotonic clock, in seconds.

    Attributes:
        reader: reads the inbox.
        groups: changes memberships.
        group_sender: sends to groups.
        process_flush: has every process drop what it holds.
    """

    def __init__(
        self,
        profile: Profile,
        shards: Shards,
        mailboxes: Mailboxes,
        table: GroupTable,
        *,
        counters: DropCounters,
        in_flight: InFlight,
        forget: Callable[[], Awaitable[None]],
        spawn: Spawn,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        address, opened = profile.inbox, shards.opened
        send_control = ControlSender(opened, profile.limits.expiry).send
        fan_out = FanOut(table, mailboxes, CapacityOf(profile.limits).of_channel, counters, clock)
        sorter = InboxSorter(address, mailboxes, fan_out, counters)
        self.reader = InboxReader(profile, shards, sorter.sort, in_flight, counters, spawn)
        self.groups = Groups(
            address,
            table,
            opened=opened,
            ready=self.reader.ready,
            send_control=send_control,
            spawn=spawn,
            is_live=fan_out.is_live,
            clock=clock,
        )
        self.group_sender = GroupSender(address, opened, send_control, in_flight, counters)
        self.process_flush = ProcessFlush(
            address,
            self.reader,
            all_opened=shards.all_opened,
            send_control=send_control,
            forget=forget,
            spawn=spawn,
        )
        sorter.on_empty = self.groups.on_empty
        sorter.handlers = {
            JOIN: self.groups.on_join,
            LEAVE: self.groups.on_leave,
            LOST: self.groups.on_lost,
            FLUSH: self.process_flush.on_flush,
            FLUSHED: self.process_flush.on_flushed,
        }
