"""Puts each frame of the inbox where it belongs: a mailbox, the members of a group, or a control message handler."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ..protocol.addresses import full_name
from ..protocol.codec import MalformedFrame
from ..protocol.control_messages import (
    CONTROL,
    FAN_OUT,
    MAX_NAME,
    ControlMessage,
    group_of,
    read_control_message,
)
from .drop_counters import DropCounters
from .group_table import GroupTable
from .mailbox import Item
from .mailboxes import Mailboxes


class FanOut:
    """Puts a group's message into the mailboxes of its members in this process.

    Args:
        table: the members.
        mailboxes: where copies go.
        capacity_of: the capacity of a channel, in messages. Called under the lock of the mailboxes.
        counters: counts copies that full members missed.
        clock: the monotonic clock, in seconds.
    """

    def __init__(
        self,
        table: GroupTable,
        mailboxes: Mailboxes,
        capacity_of: Callable[[str], int],
        counters: DropCounters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._mailboxes = mailboxes
        self._capacity_of = capacity_of
        self._counters = counters
        self._clock = clock

    def put(self, group: str, item: Item) -> bool:
        """Put a copy into the mailbox of every member. False when the group has no members here."""
        members = self._table.members(group, self._clock(), self.is_live)
        for channel in self._mailboxes.put_to_all(members, item, self._capacity_of):
            self._counters.drop_group_copy(group, channel)
        return bool(members)

    def is_live(self, channel: str) -> bool:
        """Whether a consumer waits for ``channel``."""
        return self._mailboxes.waiting(channel) > 0


class InboxSorter:
    """Sorts the frames of one inbox, by their local names.

    Args:
        inbox: the inbox.
        mailboxes: take the messages of process-local channels.
        fan_out: takes the messages of groups.
        counters: counts control messages that cannot be read.

    Attributes:
        on_empty: called with a group that has no members here. Set before the inbox is read.
        handlers: type of a control message to what handles it. Set before the inbox is read.
    """

    on_empty: Callable[[str], None]
    handlers: Mapping[str, Callable[[ControlMessage], None]]

    def __init__(self, inbox: str, mailboxes: Mailboxes, fan_out: FanOut, counters: DropCounters) -> None:
        self._inbox = inbox
        self._mailboxes = mailboxes
        self._fan_out = fan_out
        self._counters = counters

    def sort(self, local: str, item: Item) -> None:
        """Put one frame where it belongs, or drop and count it. It is called for every frame, and must not raise."""
        try:
            first = local[:1]
            if first == FAN_OUT:
                self._on_group_message(group_of(local), item)
            elif first == CONTROL:
                self._on_control(local, item)
            elif "!" in local and len(local) <= MAX_NAME:
                self._mailboxes.put(full_name(self._inbox, local), item._replace(counted=True))
            else:
                raise MalformedFrame("its local name is that of no channel")
        except MalformedFrame as error:
            self._counters.drop_unreadable("this process's inbox", str(error))

    def _on_group_message(self, group: str, item: Item) -> None:
        if not self._fan_out.put(group, item):
            self.on_empty(group)

    def _on_control(self, local: str, item: Item) -> None:
        handler = self.handlers.get(local)
        if handler is not None:  # another version of servicebus may have more types
            handler(read_control_message(item.frame, self._inbox))
