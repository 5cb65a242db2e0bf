"""Signed frames that were taken, for as long as a copy of them could be taken again."""

from __future__ import annotations

from typing import Literal

from .envelope import UNSIGNED

REMEMBERED = 1_000_000
"""Frames, of some 150 bytes of memory each."""
SLOT_MS = 1024
"""Milliseconds: frames that expire within one slot are forgotten together."""
KEPT_MS = 2000
"""How much longer than its expiry a frame is remembered, for clocks that are set back a little."""
LONGEST_MS = 3_600_000
"""Milliseconds, an hour: frames that expire later are not taken, for they could fill this memory for good."""
MAC_BYTES = 16
"""Bytes of a signature (docs/spec.md, section 10): 128 bits, which nobody can guess."""

Verdict = Literal["new", "known", "full"]


class Replays:
    """Frames that were taken, by MAC and expiry, in slots of ``SLOT_MS`` that are forgotten as a whole.

    Instants are on the server's clock. The clock may be set back, so a frame that could have been forgotten counts as
    known.
    """

    __slots__ = ("_forgotten", "_size", "_slots", "_sweep_at", "limit")

    def __init__(self, limit: int = REMEMBERED) -> None:
        self.limit = limit
        self._slots: dict[int, set[bytes]] = {}
        self._size = self._forgotten = self._sweep_at = 0

    def __len__(self) -> int:
        return self._size

    def take(self, frame: bytes, expires: int, now_ms: int) -> Verdict:
        """Whether a verified frame is "new"; if so it is remembered from now on.

        A frame without a signature is always new, and is not remembered. "full": the frame cannot be remembered,
        because others fill the memory or because it expires later than in an hour, so it must not run. Its caller gets
        no answer: another process may have run the frame, and this may be the copy.
        """
        if frame.startswith(UNSIGNED):
            return "new"
        if now_ms >= self._sweep_at:
            self._sweep(now_ms)
        number, mac = expires // SLOT_MS, frame[-MAC_BYTES:]
        slot = self._slots.get(number, ())
        if mac in slot or number < self._forgotten:
            return "known"
        if self._size >= self.limit or expires > now_ms + LONGEST_MS + KEPT_MS:
            return "full"
        self._slots.setdefault(number, set()).add(mac)
        self._size += 1
        return "new"

    def _sweep(self, now_ms: int) -> None:
        """Forget what expired a while ago."""
        self._sweep_at = now_ms + SLOT_MS
        self._forgotten = max(self._forgotten, (now_ms - KEPT_MS) // SLOT_MS)
        for number in [number for number in self._slots if number < self._forgotten]:
            self._size -= len(self._slots.pop(number))
