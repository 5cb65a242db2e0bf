"""What this process has sent to its own inbox and not read back yet. Used from any thread.

While there is none of it, a message to a consumer of this process may be handed over directly: nothing that the same
sender sent before, not even to a group, can come after it.
"""

from __future__ import annotations

import time
from collections import Counter
from threading import Lock


class Underway:
    """Frames on their way, each until it is read back or refused, and no longer than it may lie unread."""

    def __init__(self, expiry: float) -> None:
        self._expiry = expiry
        self._lock = Lock()
        self._frames: Counter[bytes] = Counter()
        self._last_sent = 0.0

    @property
    def is_empty(self) -> bool:
        """What went lost, or was stamped anew on its way, is not waited for longer than it could be delivered."""
        return not self._frames or time.monotonic() > self._last_sent + self._expiry

    def sent(self, frame: bytes) -> None:
        with self._lock:
            if self._frames and time.monotonic() > self._last_sent + self._expiry:
                self._frames.clear()
            self._frames[frame] += 1
            self._last_sent = time.monotonic()

    def ended(self, frame: bytes) -> None:
        """It is in its mailbox, or will not come. Frames of others are not known here, and ignored."""
        if frame not in self._frames:
            return
        with self._lock:
            self._frames[frame] -= 1
            if self._frames[frame] <= 0:
                del self._frames[frame]

    def clear(self) -> None:
        with self._lock:
            self._frames.clear()
