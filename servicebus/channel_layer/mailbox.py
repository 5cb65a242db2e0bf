"""One channel's mailbox: what a process has received, and which receives wait. No I/O, no lock, no clock.

``mailboxes.Mailboxes`` holds the lock under which all of this is called.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol


class Item(NamedTuple):
    """One received message.

    Attributes:
        expires: the instant on the monotonic clock of this machine, in seconds, from which on the message must not be
            delivered.
        frame: the message, still encoded.
        counted: the server counts the message against the capacity of its channel until a consumer has it.
        turn: for a message that was handed to a waiter and came back, the number of that handing over. Such messages
            are delivered again in the order of these numbers. 0 for a message that was never handed over.
    """

    expires: float
    frame: bytes
    counted: bool
    turn: int = 0


class Bridge(Protocol):
    """The way to the event loop of a waiter. ``loop_bridge.LoopBridge`` is one."""

    def post(self, callback: Callable[[Any], None], argument: Any) -> bool:
        """Call ``callback(argument)`` on the loop. False: the loop is closed."""
        ...


class Recipient(Protocol):
    """One ``receive`` that waits. ``mailboxes.Waiter`` is one.

    Attributes:
        bridge: the way to the event loop of the ``receive``.
        item: the message that the waiter was given, None before.
        turn: the number of the handing over of ``item``.
    """

    bridge: Bridge
    item: Item | None
    turn: int

    def wake(self, _: None) -> None:
        """Called on the loop of the waiter when ``item`` has come."""
        ...


class CountChanges:
    """By how much the number of counted messages has become less, by channel, since the server was told.

    ``subscribe``, ``unsubscribe`` and ``add`` are for callers that hold the lock of the mailboxes, or are alone.
    """

    __slots__ = ("_changes", "_on_first")

    def __init__(self) -> None:
        # Channel to the number of its counted messages that are no longer held; negative when more are held.
        self._changes: dict[str, int] = {}
        self._on_first: Callable[[], object] | None = None

    def __contains__(self, channel: str) -> bool:
        return channel in self._changes

    def subscribe(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` at the first change after each ``take``. It replaces the one that was subscribed before."""
        self._on_first = callback

    def unsubscribe(self, callback: Callable[[], object]) -> None:
        """Do not call ``callback`` any more. If another one has been subscribed since, that one stays."""
        if self._on_first is callback:
            self._on_first = None

    def add(self, channel: str, count: int) -> None:
        """``count`` counted messages of ``channel`` are no longer held (negative: more are held)."""
        if not self._changes and self._on_first is not None:
            self._on_first()
        self._changes[channel] = self._changes.get(channel, 0) + count

    def defer(self, channel: str, count: int) -> None:
        """The server of ``channel`` cannot be told now. The change is part of the next ``take``; nobody is called."""
        self._changes[channel] = self._changes.get(channel, 0) + count

    def take(self) -> dict[str, int]:
        """Channel to change, without those that have become 0, since the last call."""
        changes, self._changes = self._changes, {}
        return {channel: count for channel, count in changes.items() if count}

    def clear(self) -> None:
        """Forget all changes."""
        self._changes.clear()


class Mailbox:
    """The messages of one channel, oldest first, and the receives that wait for one, longest first.

    One of the two is empty at any time. Methods that need the time take ``now``, in seconds on the monotonic clock.

    Args:
        channel: the channel.
        changes: is told when a counted message is no longer held, or one more is held.
        next_turn: gives the numbers of handing over, each larger than the one before.
    """

    __slots__ = ("_changes", "_next_turn", "channel", "items", "waiters")

    def __init__(self, channel: str, changes: CountChanges, next_turn: Callable[[], int]) -> None:
        self.channel = channel
        self.items: deque[Item] = deque()
        self.waiters: deque[Recipient] = deque()
        self._changes = changes
        self._next_turn = next_turn

    def next_item(self, now: float) -> Item | None:
        """Take out the oldest message that has not expired; those before it are dropped."""
        while self.items:
            item = self.uncounted(self.items.popleft())
            if item.expires > now:
                return item
        return None

    def put(self, item: Item, now: float) -> None:
        """Hand a message to the longest waiter or keep it. The sender has kept to the capacity of the channel."""
        if item.expires <= now:
            self.uncounted(item)
        elif not self.hand_over(item):
            self.items.append(item)

    def put_copy(self, item: Item, counted: Item, capacity: Callable[[str], int], now: float) -> bool:
        """Hand a copy of a group message to the longest waiter, or keep it while there is room.

        Args:
            item: the copy for a waiter.
            counted: the same copy as it is kept: it counts against the capacity.
            capacity: the capacity of a channel, in messages.
            now: the present instant.

        Returns:
            False when the channel is full, and so misses the copy.
        """
        if self.waiters and self.hand_over(item):
            return True
        if self.items and len(self.items) >= capacity(self.channel):
            self.drop_expired(now)
            if len(self.items) >= capacity(self.channel):
                return False
        self.items.append(counted)
        self._changes.add(self.channel, -1)
        return True

    def hand_over(self, item: Item) -> bool:
        """Give a message to the longest waiter. A waiter whose loop has been closed is removed and passed over.

        Returns:
            False when no waiter took the message.
        """
        while self.waiters:
            waiter = self.waiters.popleft()
            waiter.item = item
            waiter.turn = item.turn or self._next_turn()
            if waiter.bridge.post(waiter.wake, None):
                waiter.item = self.uncounted(item)
                return True
            waiter.item = None
        return False

    def give_up(self, waiter: Recipient) -> None:
        """A waiter goes away. A message that it was given goes to the next waiter, or back to its place."""
        item, waiter.item = waiter.item, None
        if item is None:
            if waiter in self.waiters:
                self.waiters.remove(waiter)
            return
        item = item._replace(turn=waiter.turn)
        if not self.hand_over(item):
            self._return(item)

    def put_back(self, items: list[Item]) -> None:
        """Make ``items``, oldest first, the next messages again. They had been taken out together."""
        left = deque(item for item in items if not self.hand_over(item))
        self.items = left + self.items

    def drop_expired(self, now: float) -> None:
        """Drop what has expired."""
        gone = [item for item in self.items if item.expires <= now]
        if gone:
            self.items = deque(item for item in self.items if item.expires > now)
            for item in gone:
                self.uncounted(item)

    def uncounted(self, item: Item) -> Item:
        """The message, no longer counted against the capacity of the channel."""
        if not item.counted:
            return item
        self._changes.add(self.channel, 1)
        return Item(item.expires, item.frame, False, item.turn)

    def _return(self, item: Item) -> None:
        """Put a message before all that were never handed over, and in order with those that came back before it."""
        at = 0
        for other in self.items:
            if not 0 < other.turn < item.turn:
                break
            at += 1
        self.items.insert(at, item)
