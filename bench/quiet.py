"""Waits until a shared machine is quiet. It chooses when to measure, never which result to keep."""

from __future__ import annotations

import asyncio
import os
import time

from .environment import busy_seconds

WINDOW = 0.3
"""Seconds over which the load of the machine is measured: some thirty ticks of the kernel's clock."""
QUIET_SHARE = 0.1
"""The share of all cores, 0 to 1, below which the machine counts as quiet: less than the noise of a repeat."""


class Quiet:
    """Waits for a quiet machine before each measurement of a run.

    Args:
        patience: seconds that all the waiting of a run may take together; 0 never waits.
        quiet_share: the busy share of the machine, 0 to 1, up to which it counts as quiet.
        window: seconds over which the busy share is measured.
    """

    def __init__(self, patience: float, *, quiet_share: float = QUIET_SHARE, window: float = WINDOW) -> None:
        self._left = patience
        self._quiet_share = quiet_share
        self._window = window

    async def wait(self) -> None:
        """Return when the machine is quiet or the patience is used up. Cancelling is safe: nothing is left running."""
        while self._left > 0 and await self._busy_share() > self._quiet_share:
            pass

    async def _busy_share(self) -> float:
        started, before = time.monotonic(), busy_seconds()
        await asyncio.sleep(self._window)
        elapsed = time.monotonic() - started
        self._left -= elapsed
        return (busy_seconds() - before) / elapsed / (os.cpu_count() or 1)
