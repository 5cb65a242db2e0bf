"""Which messages lie in which channel of a hub. Pure: the instant ``now`` is given, and so is every bound."""

from __future__ import annotations

from collections import OrderedDict

SWEEP_EVERY = 64
"""New channels between two sweeps: channels with expired messages are never more than these and those still in use."""


Queue = OrderedDict[int, tuple[float, bytes]]
"""The instant at which each message expires, and its frame, by its number, oldest first. An ordered dict removes a
message from anywhere at the same cost, however many lie before it."""


class Queues:
    """FIFO queues by channel. All instants are seconds on one clock. Not thread-safe: the hub holds its lock.

    A queue exists only while its channel has a message, or since the last sweep.
    """

    def __init__(self) -> None:
        self._queues: dict[str, Queue] = {}
        # The number of the message that was put last, to any channel.
        self._number = 0
        # How many queues were ever made, to sweep once in SWEEP_EVERY.
        self._made = 0

    def put(self, channel: str, frame: bytes, capacity: int, expires: float, now: float) -> int:
        """Append a frame.

        Returns:
            The number of the message, by which it can be removed; 0 when the channel holds ``capacity`` unexpired
            messages already.
        """
        queue = self._queues.get(channel)
        if queue is None:
            queue = self._make(channel, now)
        _drop_expired(queue, now)
        if len(queue) >= capacity:
            return 0
        self._number += 1
        queue[self._number] = expires, frame
        return self._number

    def take(self, channel: str, count: int, now: float) -> list[bytes]:
        """Remove and return at most ``count`` unexpired frames, oldest first."""
        queue = self._queues.get(channel)
        if queue is None:
            return []
        _drop_expired(queue, now)
        frames = [queue.popitem(last=False)[1][1] for _ in range(min(count, len(queue)))]
        if not queue:
            del self._queues[channel]
        return frames

    def remove(self, channel: str, number: int) -> bool:
        """Remove the message with this number. Returns whether it was still there."""
        queue = self._queues.get(channel)
        if queue is None or queue.pop(number, None) is None:
            return False
        if not queue:
            del self._queues[channel]
        return True

    def __len__(self) -> int:
        """How many channels have a queue."""
        return len(self._queues)

    def _make(self, channel: str, now: float) -> Queue:
        self._made += 1
        if self._made % SWEEP_EVERY == 0:
            self._sweep(now)
        queue = self._queues[channel] = Queue()
        return queue

    def _sweep(self, now: float) -> None:
        """Forget channels whose messages have all expired: nobody reads them, and nobody may ever write to them."""
        for channel, queue in list(self._queues.items()):
            _drop_expired(queue, now)
            if not queue:
                del self._queues[channel]


def _drop_expired(queue: Queue, now: float) -> None:
    """Messages of one hub expire in about the order in which they came, so the oldest decide."""
    while queue and queue[next(iter(queue))][0] <= now:
        queue.popitem(last=False)
