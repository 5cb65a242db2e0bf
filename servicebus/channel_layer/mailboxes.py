"""What a process has received and not yet handed to a consumer, by channel; shared by all its loops and threads.

A message is in one place at any time: a mailbox, or the hands of one waiter. A waiter that goes away, at whatever
instant, puts back what it holds, at the front.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import NamedTuple

from .loop_bridge import Handoff


class Item(NamedTuple):
    """One received message.

    Attributes:
        expires: the instant on the monotonic clock of this machine after which it must not be delivered.
        frame: the message, still encoded.
        counted: the server counts it against the capacity of its channel until it is handed to a consumer.
        turn: of one that was handed to a waiter and came back: when that was, as against others.
    """

    expires: float
    frame: bytes
    counted: bool
    turn: int = 0


class Waiter:
    """One ``receive`` that found nothing. ``future`` ends, on the loop of that ``receive``, when its item has come."""

    __slots__ = ("future", "handoff", "item", "turn")

    def __init__(self, handoff: Handoff) -> None:
        self.handoff = handoff
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.item: Item | None = None
        self.turn = 0

    def wake(self, _: None) -> None:
        """On the waiter's loop: its item has come."""
        if not self.future.done():
            self.future.set_result(None)


class Mailbox:
    """One channel's messages, oldest first, and who waits for one, longest first. One of the two is empty."""

    __slots__ = ("items", "waiters")

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        self.waiters: deque[Waiter] = deque()


class Mailboxes:
    """All mailboxes of one layer in one process. Every method may be called from any thread.

    ``on_change`` is called, under the lock and in any thread, when ``changes`` has something to say again.
    """

    def __init__(self) -> None:
        self.on_change: Callable[[], object] = _nobody
        self._lock = Lock()
        self._boxes: dict[str, Mailbox] = {}
        self._changes: dict[str, int] = {}
        self._turns = 0

    def take(self, channel: str, handoff: Handoff) -> Item | Waiter:
        """The oldest message that has not expired; else a waiter, in line for the next one."""
        with self._lock:
            box = self._boxes.get(channel)
            if box is None:
                box = self._boxes[channel] = Mailbox()
            elif box.items:
                item = self._next(channel, box)
                if item is not None:
                    self._tidy(channel, box)
                    return item
            waiter = Waiter(handoff)
            box.waiters.append(waiter)
            return waiter

    def give_up(self, channel: str, waiter: Waiter) -> None:
        """The waiter went away: it leaves the line, and what it was given goes to the next."""
        with self._lock:
            box = self._box(channel)
            if waiter.item is not None:
                item, waiter.item = waiter.item, None
                item = item._replace(turn=waiter.turn)
                if not self._handed(channel, box, item):
                    self._take_back(box, item)
            elif waiter in box.waiters:
                box.waiters.remove(waiter)
            self._tidy(channel, box)

    def put(self, channel: str, item: Item) -> None:
        """Give a message to the longest waiter or keep it. Whoever sent it has kept to the channel's capacity."""
        with self._lock:
            box = self._box(channel)
            if item.expires <= time.monotonic():
                self._uncounted(channel, item)
            elif not self._handed(channel, box, item):
                box.items.append(item)
            self._tidy(channel, box)

    def hand_over(self, channel: str, item: Item) -> bool:
        """Give a message to the longest waiter. False: nobody waits."""
        with self._lock:
            box = self._boxes.get(channel)
            if box is None or not box.waiters:
                return False
            handed = self._handed(channel, box, item)
            self._tidy(channel, box)
            return handed

    def put_to_all(self, channels: Iterable[str], item: Item, capacity: Callable[[str], int]) -> Iterator[str]:
        """One message for many channels. Those that hold as many as they may miss it, and are returned."""
        if item.expires <= time.monotonic():
            return iter(())
        counted = item._replace(counted=True)
        with self._lock:
            return iter([channel for channel in channels if not self._put_copy(channel, item, counted, capacity)])

    def waiting(self, channel: str) -> int:
        """How many wait for a message of ``channel``."""
        with self._lock:
            box = self._boxes.get(channel)
            return len(box.waiters) if box else 0

    def awaited(self) -> list[str]:
        """The channels that somebody waits for."""
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
            self._tidy(channel, box)
            return items

    def put_back(self, channel: str, items: list[Item]) -> None:
        """Undo ``withdraw``: ``items``, oldest first, are the next ones again."""
        with self._lock:
            box = self._box(channel)
            left = deque(item for item in items if not self._handed(channel, box, item))
            box.items = left + box.items
            self._tidy(channel, box)

    def clear(self) -> None:
        """Forget every message, and that the server counted it; who waits goes on waiting."""
        with self._lock:
            self._changes.clear()
            for channel, box in list(self._boxes.items()):
                box.items.clear()
                self._tidy(channel, box)

    def sweep(self) -> None:
        """Drop what has expired in channels that nobody reads."""
        with self._lock:
            now = time.monotonic()
            for channel, box in [(channel, box) for channel, box in self._boxes.items() if box.items]:
                self._drop_expired(channel, box, now)
                self._tidy(channel, box)

    def has_changed(self, channel: str) -> bool:
        """Whether ``changes`` has something to say about ``channel``."""
        return channel in self._changes

    def changes(self) -> dict[str, int]:
        """Channel to how many of its counted messages are held no more (negative: more), since the last call."""
        with self._lock:
            changes, self._changes = self._changes, {}
            return {channel: count for channel, count in changes.items() if count}

    def put_off(self, channel: str, count: int) -> None:
        """The server of ``channel`` cannot be told now: ``changes`` says it again."""
        with self._lock:
            self._changes[channel] = self._changes.get(channel, 0) + count

    def _box(self, channel: str) -> Mailbox:
        box = self._boxes.get(channel)
        if box is None:
            box = self._boxes[channel] = Mailbox()
        return box

    def _next(self, channel: str, box: Mailbox) -> Item | None:
        now = time.monotonic()
        while box.items:
            item = self._uncounted(channel, box.items.popleft())
            if item.expires > now:
                return item
        return None

    def _put_copy(self, channel: str, item: Item, counted: Item, capacity: Callable[[str], int]) -> bool:
        """Whether there was room."""
        box = self._box(channel)
        if box.waiters and self._handed(channel, box, item):
            self._tidy(channel, box)
            return True
        if box.items and len(box.items) >= capacity(channel):
            self._drop_expired(channel, box, time.monotonic())
            if len(box.items) >= capacity(channel):
                return False
        box.items.append(counted)
        self._change(channel, -1)
        return True

    def _drop_expired(self, channel: str, box: Mailbox, now: float) -> None:
        gone = [item for item in box.items if item.expires <= now]
        if gone:
            box.items = deque(item for item in box.items if item.expires > now)
            for item in gone:
                self._uncounted(channel, item)

    def _uncounted(self, channel: str, item: Item) -> Item:
        """The item, no longer counted against its channel's capacity."""
        if not item.counted:
            return item
        self._change(channel, 1)
        return Item(item.expires, item.frame, False, item.turn)

    def _change(self, channel: str, count: int) -> None:
        if not self._changes:
            self.on_change()
        self._changes[channel] = self._changes.get(channel, 0) + count

    def _handed(self, channel: str, box: Mailbox, item: Item) -> bool:
        """Whether a waiter took it. One whose loop was closed under it is no waiter any more."""
        while box.waiters:
            waiter = box.waiters.popleft()
            waiter.item = item
            if item.turn:
                waiter.turn = item.turn
            else:
                self._turns += 1
                waiter.turn = self._turns
            if waiter.handoff.post(waiter.wake, None):
                waiter.item = self._uncounted(channel, item)
                return True
            waiter.item = None
        return False

    def _take_back(self, box: Mailbox, item: Item) -> None:
        """Before all that was never handed over, and in line with what has come back before it."""
        at = 0
        for other in box.items:
            if not 0 < other.turn < item.turn:
                break
            at += 1
        box.items.insert(at, item)

    def _tidy(self, channel: str, box: Mailbox) -> None:
        if not box.items and not box.waiters and self._boxes.get(channel) is box:
            del self._boxes[channel]


def _nobody() -> None:
    """Until an engine is interested."""
