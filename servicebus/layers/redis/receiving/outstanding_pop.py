"""Whether a reader's pop is outstanding, and the wait for its end."""

from __future__ import annotations

import asyncio
import contextlib


class OutstandingPop:
    """The pop of one reader. A flag and not an event, because readers set and clear it for every pop.

    Attributes:
        is_there: a pop is outstanding. The reader sets it; ``end`` clears it.
    """

    __slots__ = ("_ended", "is_there")

    def __init__(self) -> None:
        self.is_there = False
        # Made by the first ``wait``.
        self._ended: asyncio.Event | None = None

    def end(self) -> None:
        """The pop was answered, or its connection was lost. Idempotent."""
        self.is_there = False
        if self._ended is not None:
            self._ended.set()

    async def wait(self, within: float) -> None:
        """Wait until the pop has ended, ``within`` seconds at most. Cancelling is safe."""
        if self._ended is None:
            self._ended = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._ended.wait()
