"""A store of outcomes in the memory of one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ..config import check_numbers, check_whole
from ..errors import Overloaded
from .outcome import Claim, Outcome

Identity = tuple[str, str, str]


class MemoryStore:
    """A store for a service with one worker. See ``OutcomeStore``.

    Other processes do not see its outcomes, and it ends with this process. It remembers every outcome for its whole
    lifetime: when it is full it refuses new requests with Overloaded. It belongs to one event loop.

    Args:
        lifetime: seconds for which an outcome is remembered.
        limit: requests that run or are remembered.
        size: bytes of outcomes. Requests that run when this is reached are still remembered.
        clock: seconds of a monotonic clock; tests give their own.

    Raises:
        ConfigurationError: a number is out of range. The text names the argument.
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
        self._lifetime = lifetime
        self._limit = limit
        self._size = size
        self._clock = clock
        self._running: dict[Identity, asyncio.Future[None]] = {}
        # Until when each outcome is remembered. The first ends first, because all live equally long.
        self._kept: dict[Identity, tuple[float, Outcome]] = {}
        self._held = 0  # bytes of the outcomes

    def __len__(self) -> int:
        return len(self._running) + len(self._kept)

    async def begin(self, claim: Claim) -> Outcome | None:
        """Return the outcome of the first request, or None for the first.

        Cancelling is safe: a claim that was not handed out is not held.

        Raises:
            Overloaded: ``limit`` requests or ``size`` bytes are remembered.
        """
        while True:
            self._forget_old()
            kept = self._kept.get(claim.identity)
            if kept is not None:
                return kept[1]
            running = self._running.get(claim.identity)
            if running is None:
                break
            await asyncio.shield(running)  # other repetitions wait for the same future
        if len(self) >= self._limit or self._held >= self._size:
            raise Overloaded(claim.operation, f"{len(self)} outcomes are remembered: no room for another")
        self._running[claim.identity] = asyncio.get_running_loop().create_future()
        return None

    async def finish(self, claim: Claim, outcome: Outcome) -> None:
        self._kept[claim.identity] = self._clock() + self._lifetime, outcome
        self._held += _size(outcome)
        self._end(claim)

    async def abandon(self, claim: Claim) -> None:
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
