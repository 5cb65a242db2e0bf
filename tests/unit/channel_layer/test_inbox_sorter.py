"""Where each frame of an inbox goes, by its local name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.channel_layer.drop_counters import DropCounters
from servicebus.channel_layer.group_table import GroupTable
from servicebus.channel_layer.inbox_sorter import FanOut, InboxSorter
from servicebus.channel_layer.mailbox import Item
from servicebus.channel_layer.mailboxes import Mailboxes
from servicebus.protocol.addresses import full_name
from servicebus.protocol.codec import MAX_FRAME, encode_frame
from servicebus.protocol.control_messages import (
    FAN_OUT,
    FLUSH,
    FLUSHED,
    JOIN,
    LEAVE,
    LOST,
    ControlMessage,
)

INBOX = "client!"
TYPES = (JOIN, LEAVE, LOST, FLUSH, FLUSHED)


class Desk:
    """A sorter whose groups have room for ``capacity`` messages a channel, and what it has called."""

    def __init__(self, capacity: int = 2) -> None:
        self.mailboxes, self.table, self.counters = Mailboxes(lambda: 0.0), GroupTable(60), DropCounters()
        fan_out = FanOut(self.table, self.mailboxes, lambda _: capacity, self.counters, lambda: 0.0)
        self.called: list[Any] = []
        self.sorter = InboxSorter(INBOX, self.mailboxes, fan_out, self.counters)
        self.sorter.on_empty = lambda group: self.called.append(("empty", group))
        self.sorter.handlers = dict.fromkeys(TYPES, self.called.append)

    def sort(self, local: str, frame: bytes = b"frame") -> None:
        self.sorter.sort(local, Item(1.0, frame, counted=False))


def control_frame(message: ControlMessage) -> bytes:
    return encode_frame(0, 1, message.type, message, MAX_FRAME)


@given(st.text().filter(lambda text: not text.startswith(("*", "+"))), st.text())
def test_a_message_goes_to_the_mailbox_of_its_channel(prefix: str, rest: str) -> None:
    desk, local = Desk(), f"{prefix}!{rest}"
    desk.sort(local)
    assert [item.counted for item in desk.mailboxes.withdraw(full_name(INBOX, local))] == [True]
    assert not desk.called


@given(st.text().filter(lambda text: "!" not in text and not text.startswith("+")) | st.just("x!" + "y" * 1000))
def test_a_message_for_no_channel_is_counted_and_dropped(local: str) -> None:
    desk = Desk()
    desk.sort(local if not local.startswith("*") else FAN_OUT + "x" * 1000)
    assert (desk.called, desk.counters.poisoned) == ([], 1)
    assert not desk.mailboxes.kept(full_name(INBOX, local))


@given(st.text(min_size=1, max_size=5), st.sets(st.sampled_from([INBOX + "a", INBOX + "b"])), st.integers(0, 3))
def test_a_group_message_goes_to_every_member_with_room(group: str, members: set[str], capacity: int) -> None:
    desk = Desk(capacity)
    for member in members:
        desk.table.add(group, member, 0.0)
    for _ in range(3):
        desk.sort(FAN_OUT + group)
    assert [desk.mailboxes.kept(member) for member in members] == [max(1, capacity)] * len(members)
    assert desk.counters.group_drops == len(members) * (3 - max(1, capacity))
    assert desk.called == [] if members else [("empty", group)] * 3


@pytest.mark.parametrize("kind", TYPES)
def test_a_control_message_goes_to_its_handler(kind: str) -> None:
    channel = "other!" if kind in (FLUSH, FLUSHED) else f"specific.{INBOX}a"
    desk, message = Desk(), ControlMessage(kind, "group", channel)
    desk.sort(kind, control_frame(message))
    assert desk.called == [message]


@pytest.mark.parametrize("kind", TYPES)
def test_a_control_message_that_cannot_be_read_is_counted(kind: str) -> None:
    desk = Desk()
    desk.sort(kind, b"\xc1")
    assert (desk.called, desk.counters.poisoned) == ([], 1)


def test_a_control_message_of_an_unknown_type_is_ignored() -> None:
    desk = Desk()
    desk.sort("+later", control_frame(ControlMessage("+later")))
    assert (desk.called, desk.counters.poisoned) == ([], 0)
