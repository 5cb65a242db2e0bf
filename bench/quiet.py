"""Waiting for a shared machine to fall quiet: it chooses when to measure, and never which result to keep."""

from __future__ import annotations

import asyncio
import os
import time

from .environment import busy_seconds

WINDOW = 0.3
QUIET = 0.1


class Quiet:
    """``patience`` is how many seconds all the waiting of a run may take together; 0 never waits."""

    def __init__(self, patience: float) -> None:
        self._left = patience

    async def wait(self) -> None:
        """Return when less than a tenth of the machine is busy, or patience is at its end. Cancelling is safe."""
        while self._left > 0 and await self._busy_share() > QUIET:
            pass

    async def _busy_share(self) -> float:
        started, before = time.monotonic(), busy_seconds()
        await asyncio.sleep(WINDOW)
        elapsed = time.monotonic() - started
        self._left -= elapsed
        return (busy_seconds() - before) / elapsed / (os.cpu_count() or 1)
