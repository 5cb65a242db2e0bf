"""Outcomes in the memory of one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ..config import check_numbers, check_whole
from ..errors import Overloaded
from .outcome import Claim, Outcome

Identity = tuple[str, str, str]


class MemoryStore:
    """An OutcomeStore for a service with one worker: another process does not see it, and it ends with this one.

    It forgets nothing before its time: when it is full it refuses new requests with Overloaded. It belongs to one event
    loop.

    Args:
        lifetime: seconds for which an outcome is remembered.
        limit: requests that run or are remembered.
        size: bytes of the outcomes; what is running when it is reached is still remembered.
        clock: for tests.
    """

    def __init__(
        self,
        *,
        lifetime: float = 600.0,
        limit: int = 100_000,
        size: int = 64 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_numbers(lifetime=lifetime)
        check_whole(limit=limit, size=size)
        self._lifetime, self._limit, self._size, self._clock = lifetime, limit, size, clock
        self._running: dict[Identity, asyncio.Future[None]] = {}
        # In the order in which they end, since all live equally long.
        self._kept: dict[Identity, tuple[float, Outcome]] = {}
        self._held = 0

    def __len__(self) -> int:
        return len(self._running) + len(self._kept)

    async def begin(self, claim: Claim) -> Outcome | None:
        """See OutcomeStore. Cancelling is safe."""
        while True:
            self._forget_old()
            kept = self._kept.get(claim.identity)
            if kept is not None:
                return kept[1]
            running = self._running.get(claim.identity)
            if running is None:
                break
            await asyncio.shield(running)  # others wait for it too
        if len(self) >= self._limit or self._held >= self._size:
            raise Overloaded(claim.operation, f"{len(self)} outcomes are remembered: no room for another")
        self._running[claim.identity] = asyncio.get_running_loop().create_future()
        return None

    async def finish(self, claim: Claim, outcome: Outcome) -> None:
        """See OutcomeStore. It does not wait."""
        self._kept[claim.identity] = self._clock() + self._lifetime, outcome
        self._held += _size(outcome)
        self._end(claim)

    async def abandon(self, claim: Claim) -> None:
        """See OutcomeStore. It does not wait."""
        self._end(claim)

    def _end(self, claim: Claim) -> None:
        self._running.pop(claim.identity).set_result(None)

    def _forget_old(self) -> None:
        now = self._clock()
        while self._kept:
            identity, (until, outcome) = next(iter(self._kept.items()))
            if until > now:
                return
            del self._kept[identity]
            self._held -= _size(outcome)


def _size(outcome: Outcome) -> int:
    return len(outcome.body) + len(outcome.message.encode())
