"""Events: one copy of each to every subscribing service."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ..api.context import NO_HEADERS, Context, current
from ..api.wire import Wire
from ..contract.names import checked_channel
from ..errors import ChannelFull, SendUnknown
from ..layers.layer import Layer
from .caller import Caller

logger = logging.getLogger(__name__)


class Publisher:
    """Publishes events through a caller, whose correlation IDs and expiry they share."""

    def __init__(self, layer: Layer, wire: Wire, caller: Caller) -> None:
        self._layer = layer
        self._counters = wire.counters
        self._caller = caller

    async def publish(self, event: str, body: Any) -> None:
        """Send one copy of an event to each subscriber and wait until the layer has taken them.

        A subscriber whose channel is full misses the event. That is logged and counted, and is not an error.

        Raises:
            Unavailable, MessageTooLarge, InvalidRequest: no subscriber got it.
            SendUnknown: some subscribers may have got it and others not.

        Cancelling is safe: subscribers may or may not get the event.
        """
        context = current()
        channels = await self._layer.subscribers(checked_channel(event))
        if not (context and context.correlation_id):
            # All copies of one event carry one correlation ID.
            context = Context(self._caller.fresh_id(), context.headers if context else NO_HEADERS)
        copies = [self._caller.send(channel, event, body, context) for channel in channels]
        outcomes = await asyncio.gather(*copies, return_exceptions=True)
        failures: list[BaseException] = []
        for outcome in outcomes:
            if isinstance(outcome, ChannelFull):
                self._counters.full_subscribers += 1
                logger.warning("a subscriber of %s missed the event: %s", event, outcome)
            elif isinstance(outcome, BaseException):
                failures.append(outcome)
        if failures and any(getattr(outcome, "executed", "maybe") != "no" for outcome in outcomes):
            raise SendUnknown(event, f"some subscribers have it, others do not: {failures[0]}") from failures[0]
        if failures:
            raise failures[0]
