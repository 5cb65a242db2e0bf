"""How a saga calls the other services: again and again while that can help and there is time.

Every operation it calls is idempotent per order ID, so a call whose fate is unknown is simply made again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from servicebus import (
    ChannelFull,
    DeadlineExceeded,
    NoWorkers,
    Overloaded,
    Request,
    SendUnknown,
    ServiceBusError,
    Unavailable,
    WorkerLost,
)
from servicebus.contract.request import operation_of

if TYPE_CHECKING:
    from servicebus import ServiceBus

FIRST_DELAY, LONGEST_DELAY = 0.02, 0.2
TRANSIENT = (ChannelFull, DeadlineExceeded, NoWorkers, Overloaded, SendUnknown, Unavailable, WorkerLost)

Reply = TypeVar("Reply")


def is_transient(error: ServiceBusError) -> bool:
    """Whether the same request may succeed a moment later. A refusal for good, such as a wrong password, may not."""
    return isinstance(error, TRANSIENT) and (error.retryable or not isinstance(error, Unavailable))


def backoff() -> Iterator[float]:
    """Seconds to wait before each further attempt: doubling, jittered down to the half, without end."""
    delay = FIRST_DELAY
    while True:
        yield delay * random.uniform(0.5, 1.0)
        delay = min(2 * delay, LONGEST_DELAY)


class Caller:
    """Calls with ``timeout`` seconds for each attempt, none of them after ``until``, an instant of the loop's clock."""

    def __init__(self, bus: ServiceBus, timeout: float, until: float) -> None:
        self.bus, self._timeout, self._until = bus, timeout, until

    async def call(self, channel: str, request: Request[Reply]) -> Reply:
        """The reply. Raises the last error when it is not transient or time has run out. Cancelling it is safe."""
        now = asyncio.get_running_loop().time
        delays = backoff()
        while (left := self._until - now()) > 0:
            try:
                return await self.bus.call(channel, request, timeout=min(self._timeout, left))
            except ServiceBusError as error:
                delay = next(delays)
                if not is_transient(error) or now() + delay >= self._until:
                    raise
            await asyncio.sleep(delay)
        raise DeadlineExceeded(channel, operation_of(request), "queued")
