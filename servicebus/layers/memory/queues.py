"""Which messages lie in which channel of a hub. Pure: the instant ``now`` is given, and so is every bound."""

from __future__ import annotations

from collections import deque

SWEEP_EVERY = 64
"""New channels between two sweeps: channels with expired messages are never more than these and those still in use."""


class Queues:
    """FIFO queues by channel. All instants are seconds on one clock. Not thread-safe: the hub holds its lock.

    A queue exists only while its channel has a message, or since the last sweep.
    """

    def __init__(self) -> None:
        # The instant at which each message expires, and its frame, oldest first.
        self._queues: dict[str, deque[tuple[float, bytes]]] = {}
        # How many queues were ever made, to sweep once in SWEEP_EVERY.
        self._made = 0

    def put(self, channel: str, frame: bytes, capacity: int, expires: float, now: float) -> bool:
        """Append a frame. Returns False when the channel holds ``capacity`` unexpired messages already."""
        queue = self._queues.get(channel)
        if queue is None:
            queue = self._make(channel, now)
        _drop_expired(queue, now)
        if len(queue) >= capacity:
            return False
        queue.append((expires, frame))
        return True

    def take(self, channel: str, count: int, now: float) -> list[bytes]:
        """Remove and return at most ``count`` unexpired frames, oldest first."""
        queue = self._queues.get(channel)
        if queue is None:
            return []
        _drop_expired(queue, now)
        frames = [queue.popleft()[1] for _ in range(min(count, len(queue)))]
        if not queue:
            del self._queues[channel]
        return frames

    def remove(self, channel: str, frame: bytes) -> bool:
        """Remove the oldest message with these bytes. Returns whether there was one."""
        queue = self._queues.get(channel, deque())
        for position, entry in enumerate(queue):
            if entry[1] == frame:
                del queue[position]
                if not queue:
                    del self._queues[channel]
                return True
        return False

    def __len__(self) -> int:
        """How many channels have a queue."""
        return len(self._queues)

    def _make(self, channel: str, now: float) -> deque[tuple[float, bytes]]:
        self._made += 1
        if self._made % SWEEP_EVERY == 0:
            self._sweep(now)
        queue = self._queues[channel] = deque()
        return queue

    def _sweep(self, now: float) -> None:
        """Forget channels whose messages have all expired: nobody reads them, and nobody may ever write to them."""
        for channel, queue in list(self._queues.items()):
            _drop_expired(queue, now)
            if not queue:
                del self._queues[channel]


def _drop_expired(queue: deque[tuple[float, bytes]], now: float) -> None:
    """Messages of one hub expire in about the order in which they came, so the oldest decide."""
    while queue and queue[0][0] <= now:
        queue.popleft()
