"""Which requests are admitted, and when the last one has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..errors import Overloaded, Unavailable


def refusal(is_closed: bool, in_progress: int, limit: int) -> Unavailable | Overloaded | None:
    """Decide whether a request is admitted. Return the error to refuse it with, None to admit it."""
    if is_closed:
        return Unavailable("the gateway is stopping")
    if in_progress >= limit:
        return Overloaded("gateway", f"{limit} requests are in progress")
    return None


class Admission:
    """Admits at most ``limit`` requests at once, and none after it was closed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_progress = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self.closed = False
        """Whether the gateway is stopping."""

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one request as in progress inside the block.

        Raises:
            Unavailable: the gateway is stopping.
            Overloaded: as many requests as allowed are in progress.
        """
        refused = refusal(self.closed, self._in_progress, self._limit)
        if refused is not None:
            raise refused
        self._in_progress += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._in_progress -= 1
            if not self._in_progress:
                self._empty.set()

    async def close(self, within: float) -> None:
        """Admit no more requests, and wait until those in progress have ended, ``within`` seconds at most.

        Cancelling is safe: it ends the wait only, and no request is admitted after it.
        """
        self.closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._empty.wait()
