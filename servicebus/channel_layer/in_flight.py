"""What this process has sent to its own inbox and not read back yet. Used from any thread.

While there is none of it, a message to a consumer of this process may be handed over directly: nothing that the same
sender sent before, not even to a group, can come after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock


class Underway:
    """Frames on their way, each until it is read back or refused, and no longer than it may lie unread.

    What went lost, or was stamped anew on its way, is not heard of again, and so kept for ``expiry`` seconds.
    """

    def __init__(self, expiry: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._expiry, self._clock = expiry, clock
        self._lock = Lock()
        # By hash: large frames are not kept for this. How many there are, and when the last one was sent, oldest first.
        self._frames: dict[int, tuple[int, float]] = {}

    @property
    def is_empty(self) -> bool:
        if not self._frames:
            return True
        with self._lock:
            self._forget_old()
            return not self._frames

    def sent(self, frame: bytes) -> None:
        with self._lock:
            self._forget_old()
            count, _ = self._frames.pop(hash(frame), (0, 0.0))
            self._frames[hash(frame)] = count + 1, self._clock()

    def ended(self, frame: bytes) -> None:
        """It is in its mailbox, or will not come. Frames of others are not known here, and ignored."""
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
