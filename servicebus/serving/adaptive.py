"""Adaptive concurrency at work: what messages take goes into a limiter, and what that says becomes the credit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

from ..errors import RESERVED_CODES
from ..protocol.concurrency_limit import Adaptive, Limiter
from ..protocol.credit import Credit
from ..protocol.envelope import IncomingRequest, OutgoingError, OutgoingReply

Outcome = OutgoingReply | OutgoingError
Handle = Callable[[IncomingRequest], Coroutine[Any, Any, Outcome]]

logger = logging.getLogger(__name__)


def steered(adaptive: Adaptive, channel: str, credit: Credit, handle: Handle) -> Handle:
    """``handle``, which from now on also decides about the credit of its channel.

    A message counts from when it came: one that waited for the event loop or for a thread was one too many. What failed
    otherwise than its contract declares does not count: it may have taken no time, or a time that says nothing.
    """
    limiter = Limiter(adaptive, credit.most)
    credit.change(limiter.limit)

    async def timed(message: IncomingRequest, came: float, in_flight: int) -> Outcome:
        outcome = await handle(message)
        if _worked(outcome):
            now = monotonic()
            limit = limiter.took(now - came, in_flight, now)
            if limit != credit.limit:
                logger.debug("%s: %d messages at once", channel, limit)
                credit.change(limit)
        return outcome

    loop, came = asyncio.get_running_loop(), list[float]()

    def run(message: IncomingRequest) -> Coroutine[Any, Any, Outcome]:
        # What one tick delivers came at once. Where tasks begin eagerly, the first are done before the last is seen.
        if not came:
            came.append(monotonic())
            loop.call_soon(came.clear)
        return timed(message, came[0], credit.held)

    return run


def _worked(outcome: Outcome) -> bool:
    """Whether the handler did what it is there for; to say no in the words of its contract is that too."""
    if isinstance(outcome, OutgoingReply):
        return True
    return outcome.executed == "yes" and outcome.code not in RESERVED_CODES
