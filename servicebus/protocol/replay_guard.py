"""Signed frames that were taken, for as long as a copy of them could be taken again."""

from __future__ import annotations

from typing import Literal

from .envelope import UNSIGNED

REMEMBERED = 1_000_000
"""Frames, of some 150 bytes of memory each."""
SLOT_MS = 1024
KEPT_MS = 2000
"""How much longer than its expiry a frame is remembered, for clocks that are set back a little."""
MAC_BYTES = 16

Verdict = Literal["new", "known", "full"]


class Replays:
    """What was taken, by MAC and expiry, in slots of ``SLOT_MS`` that are forgotten as a whole.

    Instants are those of the server's clock. It may be set back: what could have been forgotten counts as known.
    """

    __slots__ = ("_forgotten", "_size", "_slots", "_sweep_at", "limit")

    def __init__(self, limit: int = REMEMBERED) -> None:
        self.limit = limit
        self._slots: dict[int, set[bytes]] = {}
        self._size = self._forgotten = self._sweep_at = 0

    def __len__(self) -> int:
        return self._size

    def take(self, frame: bytes, expires: int, now_ms: int) -> Verdict:
        """Whether a frame that was verified is "new", and is remembered from now on.

        Without a signature it always is, and is not remembered. "full": it cannot be remembered, so it must not run.
        Nobody is told that it did not: another process may have taken it, and this be the copy.
        """
        if frame.startswith(UNSIGNED):
            return "new"
        if now_ms >= self._sweep_at:
            self._sweep(now_ms)
        number, mac = expires // SLOT_MS, frame[-MAC_BYTES:]
        slot = self._slots.get(number, ())
        if mac in slot or number < self._forgotten:
            return "known"
        if self._size >= self.limit:
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
