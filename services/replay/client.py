"""Calls that are made again while that can help: every operation of the replay is idempotent per ID."""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from servicebus import (
    ConfigurationError,
    InvalidRequest,
    MessageTooLarge,
    RemoteError,
    Request,
    ServiceBusError,
    ServiceError,
    Unauthorized,
    Unavailable,
    UnknownOperation,
)

if TYPE_CHECKING:
    from servicebus import ServiceBus

PATIENCE = 60.0
CALL_TIMEOUT = 20.0
SHORTEST = 0.01
FIRST_DELAY, LONGEST_DELAY = 0.05, 2.0
REFUSALS = (
    ServiceError,
    ConfigurationError,
    InvalidRequest,
    MessageTooLarge,
    Unauthorized,
    Unavailable,
    UnknownOperation,
)

Reply = TypeVar("Reply")


class Client:
    """Counts the ``calls`` it makes and how many of them were ``retries``.

    ``timeout`` bounds one attempt and ``patience`` all attempts of one call, in seconds. ``jitter`` returns 0 to 1.
    """

    def __init__(
        self,
        bus: ServiceBus,
        patience: float = PATIENCE,
        timeout: float = CALL_TIMEOUT,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._bus, self._patience, self._timeout, self._jitter = bus, patience, timeout, jitter
        self.calls = self.retries = 0

    async def call(self, channel: str, request: Request[Reply]) -> Reply:
        """The reply. Raises the last ServiceBusError: at once if it is a refusal, else when patience ran out.

        Cancelling it is safe: the request may have been carried out, and may be made again.
        """
        now = asyncio.get_running_loop().time
        until, delay = now() + self._patience, FIRST_DELAY
        while True:
            try:
                return await self.attempt(channel, request, until - now())
            except ServiceBusError as error:
                pause = delay * (0.5 + self._jitter() / 2)
                if is_refusal(error) or now() + pause >= until:
                    raise
            await asyncio.sleep(pause)
            self.retries += 1
            delay = min(2 * delay, LONGEST_DELAY)

    async def attempt(self, channel: str, request: Request[Reply], left: float = math.inf) -> Reply:
        """One call, of at most ``left`` seconds. Raises ServiceBusError. Cancelling it is safe, as above."""
        self.calls += 1
        return await self._bus.call(channel, request, timeout=max(SHORTEST, min(self._timeout, left)))


def is_refusal(error: ServiceBusError) -> bool:
    """Whether the same request would only be refused again."""
    return isinstance(error, REFUSALS) and not error.retryable


def reason_of(error: ServiceBusError) -> str:
    """A snake_case code: the one on the wire, else the name of the error's class."""
    if isinstance(error, RemoteError):
        return error.code
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
