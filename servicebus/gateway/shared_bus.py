"""The bus of a gateway: the first request that needs it opens it, for all requests."""

from __future__ import annotations

import asyncio

from ..bus import ServiceBus
from ..errors import ServiceBusError, Unavailable, private_copy
from ..foundation.tasks import Once


class SharedBus:
    """A bus that is opened when it is first needed. A bus that is open when it is given is never closed here."""

    def __init__(self, bus: ServiceBus) -> None:
        self._bus = bus
        self._given_open = bus.loop is not None
        self._opening = Once(bus.open)
        """The last attempt to open the bus. A failed attempt is replaced by the next request."""
        self._closing = Once(self._close)

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closing.task is not None

    async def opened(self) -> ServiceBus:
        """Return the bus, open. After a failure the next call tries again.

        Cancelling is safe: opening goes on.

        Raises:
            Unavailable: the server cannot be reached, or the gateway is closed.
            ConfigurationError: a setting of the bus is wrong.
        """
        if self.is_closed:
            raise Unavailable("the gateway is closed")
        if self._given_open:
            return self._bus
        if self._opening.task is not None and _failed(self._opening.task):
            self._opening = Once(self._bus.open)
        opening = self._opening.start()
        try:
            await asyncio.shield(opening)
        except ServiceBusError as error:
            raise private_copy(error) from error.__cause__
        except asyncio.CancelledError:
            if opening.cancelled():  # by close; the task that waits here was not cancelled
                raise Unavailable("the gateway is closed") from None
            raise
        return self._bus

    async def close(self) -> None:
        """Close the bus if it was opened here. Idempotent. Cancelling is safe: closing goes on."""
        await self._closing()

    async def _close(self) -> None:
        opening = self._opening.task
        if opening is not None:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await self._bus.close()


def _failed(opening: asyncio.Task[None]) -> bool:
    return opening.done() and (opening.cancelled() or opening.exception() is not None)
