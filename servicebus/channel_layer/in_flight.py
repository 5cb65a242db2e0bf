"""What this process has sent to its own inbox and not read back yet. Used from any thread.

While nothing is in flight, a message to a consumer of this process may be handed over directly: nothing that the same
sender sent before, not even to a group, can come after that message.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock


class InFlight:
    """Frames from the moment they are sent until they are read back or refused.

    A frame that was lost, or that got another fence on its way, is never read back. It is forgotten ``expiry`` seconds
    after it was sent, because no server delivers it after that.

    Args:
        expiry: seconds that a message may lie unread.
        clock: the monotonic clock, in seconds.
    """

    def __init__(self, expiry: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._expiry = expiry
        self._clock = clock
        self._lock = Lock()
        # Hash of a frame to how many equal frames are in flight and when the last one was sent; oldest first. The hash
        # stands for the frame, so that large frames are not kept in memory.
        self._frames: dict[int, tuple[int, float]] = {}

    @property
    def is_empty(self) -> bool:
        if not self._frames:
            return True
        with self._lock:
            self._forget_old()
            return not self._frames

    def sent(self, frame: bytes) -> None:
        """A frame leaves for the inbox of this process."""
        with self._lock:
            self._forget_old()
            count, _ = self._frames.pop(hash(frame), (0, 0.0))
            self._frames[hash(frame)] = count + 1, self._clock()

    def ended(self, frame: bytes) -> None:
        """A frame has been put into its mailbox, or will not come. A frame that others sent is ignored."""
        if not self._frames:
            return
        with self._lock:
            count, sent_at = self._frames.get(hash(frame), (0, 0.0))
            if count > 1:
                self._frames[hash(frame)] = count - 1, sent_at
            elif count:
                del self._frames[hash(frame)]

    def _forget_old(self) -> None:
        oldest = self._clock() - self._expiry
        while self._frames:
            first = next(iter(self._frames))
            if self._frames[first][1] > oldest:
                return
            del self._frames[first]
