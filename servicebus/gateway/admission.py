"""How many requests are in progress, and when none is any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..errors import Overloaded, Unavailable


class Admission:
    """Lets in as many as there is room for, and nobody once it is closed."""

    def __init__(self, limit: int) -> None:
        self._limit, self._inside = limit, 0
        self._empty = asyncio.Event()
        self._empty.set()
        self.closed = False

    @contextmanager
    def one(self) -> Iterator[None]:
        """Be in progress. Raises Overloaded, or Unavailable when the gateway is stopping."""
        if self.closed:
            raise Unavailable("the gateway is stopping")
        if self._inside >= self._limit:
            raise Overloaded("gateway", f"{self._limit} requests are in progress")
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    async def close(self, within: float) -> None:
        """Let nobody in any more, and wait for those inside, ``within`` seconds at most. Cancelling is safe."""
        self.closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._empty.wait()
