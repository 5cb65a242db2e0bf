"""The gateway's bus: opened once, by whoever needs it first."""

from __future__ import annotations

import asyncio

from ..bus import ServiceBus
from ..errors import ServiceBusError, Unavailable, private_copy


class Connection:
    """A bus that is opened when it is needed. One that is open when it is given stays its owner's to close."""

    def __init__(self, bus: ServiceBus) -> None:
        self._bus, self._given_open = bus, bus.loop is not None
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def opened(self) -> ServiceBus:
        """The bus, open. Raises Unavailable or ConfigurationError; who comes next tries again.

        Cancelling is safe: opening goes on.
        """
        if self._closing is not None:
            raise Unavailable("the gateway is closed")
        if self._given_open:
            return self._bus
        if self._opening is None or _failed(self._opening):
            self._opening = asyncio.get_running_loop().create_task(self._bus.open())
        try:
            await asyncio.shield(self._opening)
        except ServiceBusError as error:
            raise private_copy(error) from error.__cause__
        except asyncio.CancelledError:
            if self._opening.cancelled():  # by close, and not whoever waits here
                raise Unavailable("the gateway is closed") from None
            raise
        return self._bus

    async def close(self) -> None:
        """Close what was opened here. Idempotent. Cancelling the wait is safe: closing goes on."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
            await self._bus.close()


def _failed(opening: asyncio.Task[None]) -> bool:
    return opening.done() and (opening.cancelled() or opening.exception() is not None)
