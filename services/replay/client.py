"""The client of the replay: it repeats a call while a retry can help and its patience lasts."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from servicebus import RemoteError, Request, ServiceBusError
from servicebus.resilience import Retry
from services.retrying import UNLIMITED_ATTEMPTS, RetryingCalls

if TYPE_CHECKING:
    from servicebus import ServiceBus

GIVE_UP_AFTER = 60.0
"""Seconds for all attempts of one call: a worker or a server that was killed is back long before."""
CALL_TIMEOUT = 20.0
"""Seconds for one attempt: an order of a thousand lines on a busy machine needs a few."""
FIRST_PAUSE = 0.05
"""Seconds; the longest pause before the first retry."""
LONGEST_PAUSE = 2.0
"""Seconds; the longest pause of all: a service that starts again is not flooded, and is soon used again."""

Reply = TypeVar("Reply")


class Client:
    """Calls the services, and counts what it calls.

    Args:
        bus: makes each attempt.
        patience: seconds for all attempts of one call.
        timeout: seconds for one attempt.
        chance: returns a random number in [0, 1), the share of the longest pause that a pause takes.
    """

    def __init__(
        self,
        bus: ServiceBus,
        patience: float = GIVE_UP_AFTER,
        timeout: float = CALL_TIMEOUT,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._bus = bus
        self._patience = patience
        self._timeout = timeout
        self._retry = Retry(UNLIMITED_ATTEMPTS, FIRST_PAUSE, LONGEST_PAUSE, budget=None, chance=chance)
        self._repeated = RetryingCalls(bus, self._retry, timeout)
        self._single = 0
        """Calls that were made once, without retries."""

    @property
    def calls(self) -> int:
        """Attempts so far, retries included."""
        return self._repeated.attempts + self._single

    @property
    def retries(self) -> int:
        """Attempts so far that followed a failed one."""
        return self._retry.counters.retries

    async def call(self, channel: str, request: Request[Reply]) -> Reply:
        """Return the reply to ``request``, and repeat the call while that can help and patience lasts.

        Cancelling is safe: the service may have carried out the request, and the client may make it again.

        Raises:
            ServiceBusError: of the attempt that came furthest. ``executed`` is "no" only when no attempt has started.
        """
        return await self._repeated.call(channel, request, self._patience)

    async def call_once(self, channel: str, request: Request[Reply]) -> Reply:
        """Return the reply to ``request``, without any retry. Cancelling is as safe as for ``call``.

        Raises:
            ServiceBusError: when the call failed.
        """
        self._single += 1
        return await self._bus.call(channel, request, timeout=self._timeout)


def reason_of(error: ServiceBusError) -> str:
    """Return a snake_case code for ``error``: the code on the wire, else the name of the error's class."""
    if isinstance(error, RemoteError):
        return error.code
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
