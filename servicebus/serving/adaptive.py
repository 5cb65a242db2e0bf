"""Adaptive concurrency: the times that messages take go into a limiter, and its limit becomes the credit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

from ..contract.service_errors import RESERVED_CODES
from ..foundation import running_time
from ..protocol.concurrency_limit import Adaptive, Limiter
from ..protocol.credit import Credit
from ..protocol.envelope import IncomingRequest, OutgoingError, OutgoingReply

Outcome = OutgoingReply | OutgoingError
Handle = Callable[[IncomingRequest], Coroutine[Any, Any, Outcome]]

logger = logging.getLogger(__name__)


def with_adaptive_concurrency(adaptive: Adaptive, channel: str, credit: Credit, handle: Handle) -> Handle:
    """``handle``, measured, so that the credit of its channel follows what it can do.

    The time of a message counts from its arrival: one that waited for the event loop or for a thread was one too many.
    A message that failed in a way that its contract does not declare does not count: its time tells nothing. Time in
    which the whole process stood still tells nothing either.
    """
    limiter = Limiter(adaptive, credit.most)
    credit.change(limiter.limit)

    async def timed(message: IncomingRequest, came: float, in_flight: int) -> Outcome:
        outcome = await handle(message)
        if _is_measured(outcome):
            now = monotonic()
            limit = limiter.observe(now - came - running.stood_still(came, now), in_flight, now)
            if limit != credit.limit:
                logger.debug("%s: %d messages at once", channel, limit)
                credit.change(limit)
        return outcome

    loop, running, came = asyncio.get_running_loop(), running_time.of_running_loop(), list[float]()

    def run(message: IncomingRequest) -> Coroutine[Any, Any, Outcome]:
        # The messages of one tick came at the same moment. With eager tasks the first is done before the last is seen.
        if not came:
            came.append(monotonic())
            loop.call_soon(came.clear)
        return timed(message, came[0], credit.held)

    return run


def _is_measured(outcome: Outcome) -> bool:
    """Whether the handler did its work: it replied, or it raised an error that its contract declares."""
    if isinstance(outcome, OutgoingReply):
        return True
    return outcome.executed == "yes" and outcome.code not in RESERVED_CODES
