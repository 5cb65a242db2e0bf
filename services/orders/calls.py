"""How a saga calls the other services: it repeats a call while a retry can help and there is time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from servicebus import DeadlineExceeded, Request
from servicebus.contract.request import operation_of
from servicebus.resilience import Retry
from services.retrying import UNLIMITED_ATTEMPTS, RetryingCalls

if TYPE_CHECKING:
    from servicebus import Bus

FIRST_PAUSE = 0.03
"""Seconds; the longest pause before the first retry: about the time that a refused service needs to take the next
call."""
LONGEST_PAUSE = 0.3
"""Seconds; the longest pause of all: an order waits no longer than that after a service has come back."""

Reply = TypeVar("Reply")


class Caller:
    """Calls the other services on behalf of one request.

    Args:
        bus: makes the calls and publishes the events.
        timeout: seconds for each attempt.
        until: instant of the event loop's clock after which no attempt begins.
    """

    def __init__(self, bus: Bus, timeout: float, until: float) -> None:
        self.bus = bus
        self._until = until
        retry = Retry(UNLIMITED_ATTEMPTS, FIRST_PAUSE, LONGEST_PAUSE, budget=None)
        self._calls = RetryingCalls(bus, retry, timeout)

    async def call(self, channel: str, request: Request[Reply]) -> Reply:
        """Return the reply to ``request``.

        Cancelling is safe: the service may have carried out the request, and the saga makes it again.

        Raises:
            ServiceBusError: when a retry cannot help or the time is over.
        """
        left = self._until - asyncio.get_running_loop().time()
        if left <= 0:
            raise DeadlineExceeded(channel, operation_of(request), "queued")
        return await self._calls.call(channel, request, left)
