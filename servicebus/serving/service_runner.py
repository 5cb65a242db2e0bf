"""A service that this process serves: its consumers, its presence, its background tasks, and their end.

The order of stopping is: presence (new calls go elsewhere), consumers (what they popped is delivered), handlers,
replies. The periodic tasks are ended meanwhile. Both take the seconds of the drain, and hardly more, at most.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from ..api.bus import Bus
from ..api.handler import Handler
from ..api.service import Service
from ..api.wire import Wire
from ..errors import ServiceBusError, Unavailable
from ..foundation import running_time
from ..foundation.tasks import Once
from ..layers.layer import Consumer, Layer
from ..protocol.credit import Credit
from .dispatcher import Dispatcher
from .endpoints import credit_for
from .periodic import PeriodicTasks

logger = logging.getLogger(__name__)


class ServiceRunner:
    """One service on one bus. Made by ``bus.serving``."""

    def __init__(self, service: Service, bus: Bus, wire: Wire, layer: Layer, worker_id: str, concurrency: int) -> None:
        self._service = service
        self._bus = bus
        self._wire = wire
        self._layer = layer
        # How this worker is registered; it names the inbox of its process after an "@".
        self._worker_id = worker_id
        self._concurrency = concurrency
        # By channel: the messages that may be held at once.
        self._credits: dict[str, Credit] = {}
        self._dispatchers: list[Dispatcher] = []
        self._consumers: list[Consumer] = []
        # Events that were subscribed to, so that they are given up at the end.
        self._subscribed: list[str] = []
        self._periodic = PeriodicTasks(service, bus)
        self._stop_once = Once(self._stop)

    @property
    def credit(self) -> dict[str, int]:
        """By channel, how many messages may be held at once now: the concurrency, or what ``Adaptive`` makes of it."""
        return {channel: credit.limit for channel, credit in self._credits.items()}

    async def start(self, within: float) -> None:
        """Subscribe, register and receive.

        Raises:
            Unavailable: that took more than ``within`` seconds.

        Cancelling is safe: ``stop`` ends what was started.
        """
        try:
            async with running_time.timeout(within):
                await self._start()
        except TimeoutError as error:
            raise Unavailable(f"{self._service.request_channel} could not be served within {within:.0f} s") from error
        self._periodic.start()

    async def stop(self, drain: float) -> None:
        """Drain: stop receiving, let handlers finish for ``drain`` seconds, cancel the rest. Idempotent.

        Cancelling is safe: the drain goes on, and the next ``stop``, such as that of a closing bus, waits for it.
        """
        await self._stop_once(drain)

    def cancel(self, reply_channels: set[str]) -> None:
        """End the handlers of calls that were cancelled by their callers."""
        for dispatcher in self._dispatchers:
            dispatcher.cancel(reply_channels)

    async def _start(self) -> None:
        service = self._service
        for event in service.events:
            self._subscribed.append(event)
            await self._layer.subscribe(event, service.events_channel)
        if service.events:
            self._consume(service.events_channel, service.events, worker_id="")
        self._consume(service.request_channel, service.operations, self._worker_id)
        for consumer in self._consumers:
            await consumer.ready()

    def _consume(self, channel: str, handlers: Mapping[str, Handler], worker_id: str) -> None:
        credit = self._credits[channel] = credit_for(handlers, self._concurrency)
        dispatcher = Dispatcher(channel, self._service, handlers, self._bus, self._wire, self._layer, credit)
        self._dispatchers.append(dispatcher)
        self._consumers.append(self._layer.consume(channel, dispatcher.deliver, credit, worker_id=worker_id))

    async def _stop(self, drain: float) -> None:
        try:
            await self._layer.leave(self._service.request_channel, self._worker_id)
        except ServiceBusError as error:
            logger.info("could not deregister from %s: %s", self._service.request_channel, error)
        for event in self._subscribed:
            self._layer.unsubscribe(event, self._service.events_channel)
        await asyncio.gather(self._finish(drain), self._periodic.end(drain))

    async def _finish(self, drain: float) -> None:
        """Stop receiving, and let handlers finish."""
        stopped = await asyncio.gather(*(consumer.stop() for consumer in self._consumers), return_exceptions=True)
        for error in stopped:
            if isinstance(error, BaseException):
                logger.error("a consumer of %s did not stop", self._service.name, exc_info=error)
        await asyncio.gather(*(dispatcher.finish(drain) for dispatcher in self._dispatchers))
