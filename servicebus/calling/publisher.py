"""Messages without a reply: one-way messages to one service, and events to every subscriber."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ..api.context import NO_HEADERS, Context, current
from ..api.wire import Wire
from ..contract.names import checked_channel, takes_events
from ..errors import ChannelFull, SendUnknown
from ..foundation.repeated_log import RepeatedLog
from ..layers.layer import Layer
from ..protocol.addresses import split_address
from ..protocol.envelope import OutgoingRequest
from .caller import Caller
from .deliveries import OneWayDelivery
from .encoding import encode_request, headers_of

logger = logging.getLogger(__name__)


class Publisher:
    """Sends the messages of one bus that want no reply. It belongs to the event loop that made it."""

    def __init__(self, layer: Layer, wire: Wire, service: str, caller: Caller) -> None:
        self._layer = layer
        self._wire = wire
        self._service = service
        # Draws correlation IDs, and knows when the bus is being closed.
        self._caller = caller
        self._log = RepeatedLog(logger)

    async def send(self, channel: str, operation: str, body: Any, context: Context | None) -> None:
        """Send a one-way message and wait until its channel has taken it.

        Raises:
            ChannelFull, Unavailable, Overloaded, MessageTooLarge, InvalidRequest: it was not sent.
            SendUnknown: it may have been sent.

        Cancelling is safe: the message may or may not be sent.
        """
        self._caller.check_open()
        outgoing = OutgoingRequest(
            operation,
            body,
            correlation_id=(context.correlation_id if context else "") or self._caller.fresh_id(),
            headers=headers_of(context) if context else None,
            caller=self._service,
        )
        target, local = split_address(channel)
        now_ms = self._layer.now_ms()
        expires = now_ms + self._wire.expiry_ms
        frame = encode_request(self._layer, self._wire, target, local, now_ms, expires, outgoing)
        delivery = OneWayDelivery(target, operation, frame, asyncio.get_running_loop().create_future())
        if self._wire.observer is not None:
            self._wire.observer.sent(delivery)
        error: BaseException | None = None
        self._layer.push(delivery)
        try:
            await delivery.future
        except BaseException as raised:
            error = raised
            raise
        finally:
            if self._wire.observer is not None:
                self._wire.observer.settled(delivery, error)

    async def publish(self, event: str, body: Any) -> None:
        """Send one copy of an event to each subscriber and wait until the layer has taken them.

        A subscriber whose channel is full misses the event. That is logged and counted, and is not an error.

        Raises:
            Unavailable, MessageTooLarge, InvalidRequest: no subscriber got it.
            SendUnknown: some subscribers may have got it and others not.

        Cancelling is safe: subscribers may or may not get the event.
        """
        context = current()
        named = await self._layer.subscribers(checked_channel(event))
        channels = [channel for channel in named if takes_events(channel)]
        if len(channels) < len(named):
            self._log.warning("%s: %d subscribers are ignored: they take no events", event, len(named) - len(channels))
        if not (context and context.correlation_id):
            # All copies of one event carry one correlation ID.
            context = Context(self._caller.fresh_id(), context.headers if context else NO_HEADERS)
        copies = [self.send(channel, event, body, context) for channel in channels]
        outcomes = await asyncio.gather(*copies, return_exceptions=True)
        failures: list[BaseException] = []
        for outcome in outcomes:
            if isinstance(outcome, ChannelFull):
                self._wire.counters.full_subscribers += 1
                self._log.warning("a subscriber of %s missed the event: %s", event, outcome)
            elif isinstance(outcome, BaseException):
                failures.append(outcome)
        if failures and any(getattr(outcome, "executed", "maybe") != "no" for outcome in outcomes):
            raise SendUnknown(event, f"some subscribers have it, others do not: {failures[0]}") from failures[0]
        if failures:
            raise failures[0]
