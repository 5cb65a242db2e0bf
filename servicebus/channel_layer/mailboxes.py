"""What a process has received and not yet handed to a consumer, by channel; shared by all its loops and threads.

A message is in one place at any time: in a mailbox, or with one waiter. A waiter that goes away, at whatever instant,
puts the message that it was given back to the front.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from itertools import count
from threading import Lock

from .loop_bridge import LoopBridge
from .mailbox import Bridge, CountChanges, Item, Mailbox


class Waiter:
    """One ``receive`` that found nothing.

    Attributes:
        bridge: the way to the event loop of the ``receive``.
        future: ends, on that loop, when ``item`` has come.
        item: the message that the waiter was given, None before.
        turn: the number of the handing over of ``item``.
    """

    __slots__ = ("bridge", "future", "item", "turn")

    def __init__(self, bridge: LoopBridge) -> None:
        self.bridge: Bridge = bridge
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.item: Item | None = None
        self.turn = 0

    def wake(self, _: None) -> None:
        """The item has come. On the loop of the waiter."""
        if not self.future.done():
            self.future.set_result(None)


class Mailboxes:
    """All mailboxes of one layer in one process. Every method may be called from any thread.

    Args:
        clock: the monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        # The mailboxes that hold a message or a waiter.
        self._boxes: dict[str, Mailbox] = {}
        self._changes = CountChanges()
        self._next_turn = count(1).__next__
        self.counts = LockedCounts(self._changes, self._lock)

    def take(self, channel: str, bridge: LoopBridge) -> Item | Waiter:
        """The oldest message that has not expired; else a waiter, in line for the next one."""
        with self._lock:
            box = self._boxes.get(channel)
            if box is None:
                box = self._boxes[channel] = Mailbox(channel, self._changes, self._next_turn)
            elif box.items:
                item = box.next_item(self._clock())
                if item is not None:
                    self._drop_if_empty(box)
                    return item
            waiter = Waiter(bridge)
            box.waiters.append(waiter)
            return waiter

    def give_up(self, channel: str, waiter: Waiter) -> None:
        """The waiter goes away: it leaves the line, and a message that it was given goes to the next waiter."""
        with self._lock:
            box = self._box(channel)
            box.give_up(waiter)
            self._drop_if_empty(box)

    def put(self, channel: str, item: Item) -> None:
        """Hand a message to the longest waiter or keep it. The sender has kept to the capacity of the channel."""
        with self._lock:
            box = self._box(channel)
            box.put(item, self._clock())
            self._drop_if_empty(box)

    def hand_over(self, channel: str, item: Item) -> bool:
        """Give a message to the longest waiter. False when no waiter took the message."""
        with self._lock:
            box = self._boxes.get(channel)
            if box is None or not box.waiters:
                return False
            handed = box.hand_over(item)
            self._drop_if_empty(box)
            return handed

    def put_to_all(self, channels: Iterable[str], item: Item, capacity: Callable[[str], int]) -> list[str]:
        """Put one message into many channels.

        Returns:
            The channels that are full, and so miss the message.
        """
        now = self._clock()
        if item.expires <= now:
            return []
        counted = item._replace(counted=True)
        missed = []
        with self._lock:
            for channel in channels:
                box = self._box(channel)
                if not box.put_copy(item, counted, capacity, now):
                    missed.append(channel)
                self._drop_if_empty(box)
        return missed

    def waiting(self, channel: str) -> int:
        """How many receives wait for a message of ``channel``."""
        with self._lock:
            box = self._boxes.get(channel)
            return len(box.waiters) if box else 0

    def awaited(self) -> list[str]:
        """The channels that receives wait for."""
        with self._lock:
            return [channel for channel, box in self._boxes.items() if box.waiters]

    def kept(self, channel: str) -> int:
        """How many messages of ``channel`` are kept."""
        with self._lock:
            box = self._boxes.get(channel)
            return len(box.items) if box else 0

    def withdraw(self, channel: str) -> list[Item]:
        """Take out everything that is kept for ``channel``, oldest first. What was counted still is."""
        with self._lock:
            box = self._boxes.get(channel)
            if box is None:
                return []
            items = list(box.items)
            box.items.clear()
            self._drop_if_empty(box)
            return items

    def put_back(self, channel: str, items: list[Item]) -> None:
        """Undo ``withdraw``: ``items``, oldest first, are the next ones again."""
        with self._lock:
            box = self._box(channel)
            box.put_back(items)
            self._drop_if_empty(box)

    def clear(self) -> None:
        """Forget every message, and that the server counted it. Receives that wait go on waiting."""
        with self._lock:
            self._changes.clear()
            for box in list(self._boxes.values()):
                box.items.clear()
                self._drop_if_empty(box)

    def sweep(self) -> None:
        """Drop what has expired, in channels that no consumer reads too."""
        with self._lock:
            now = self._clock()
            for box in [box for box in self._boxes.values() if box.items]:
                box.drop_expired(now)
                self._drop_if_empty(box)

    def _box(self, channel: str) -> Mailbox:
        box = self._boxes.get(channel)
        if box is None:
            box = self._boxes[channel] = Mailbox(channel, self._changes, self._next_turn)
        return box

    def _drop_if_empty(self, box: Mailbox) -> None:
        if not box.items and not box.waiters:
            del self._boxes[box.channel]


class LockedCounts:
    """The ``CountChanges`` of mailboxes, for threads that do not hold their lock."""

    __slots__ = ("_changes", "_lock")

    def __init__(self, changes: CountChanges, lock: Lock) -> None:
        self._changes = changes
        self._lock = lock

    def has_changed(self, channel: str) -> bool:
        """Whether ``take`` would return a change of ``channel``. No lock: a thread asks for its own changes."""
        return channel in self._changes

    def take(self) -> dict[str, int]:
        """See ``CountChanges.take``."""
        with self._lock:
            return self._changes.take()

    def defer(self, channel: str, count: int) -> None:
        """See ``CountChanges.defer``."""
        with self._lock:
            self._changes.defer(channel, count)

    def subscribe(self, callback: Callable[[], object]) -> None:
        """Call ``callback``, under the lock and in any thread, at the first change after each ``take``."""
        self._changes.subscribe(callback)

    def unsubscribe(self, callback: Callable[[], object]) -> None:
        """See ``CountChanges.unsubscribe``."""
        self._changes.unsubscribe(callback)
