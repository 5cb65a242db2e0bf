"""A service as an ASGI application, for scopes of the type "channel": what ``manage.py runworker`` runs.

    ProtocolTypeRouter({"channel": ChannelNameRouter({"inventory.request": service, "inventory.events": service})})

The server makes an instance of the application for each channel, when the channel's first message comes, and feeds it.
All instances of a service in one event loop share one host: a bus on the default channel layer, its subscriptions and
its background tasks. It opens with the first instance and is drained with the last.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from ..api.service import Service
from ..bus import ServiceBus
from ..errors import ConfigurationError
from ..layers.foreign.messages import frame_of
from ..layers.layer import Layer, Sink
from ..protocol.codec import MalformedFrame
from ..protocol.credit import Budget
from ..serving.service_runner import ServiceRunner

URL = "django://default"
CONCURRENCY = 256
START_WITHIN = 10.0
DRAIN = 5.0

Receive = Callable[[], Awaitable[Any]]

logger = logging.getLogger(__name__)


async def serve(service: Service, scope: Mapping[str, Any], receive: Receive) -> None:
    """Handle the messages of one channel until cancelled; then drain, for some seconds at most.

    Raises ConfigurationError for a scope that is not one of the service's channels, Unavailable when the bus cannot be
    opened. Cancelling is how it ends: what is being handled is given time to end, or its callers get WorkerLost.
    """
    channel = _checked_channel(service, scope)
    host = Host.joined(service)
    try:
        layer = await host.opened()
        await layer.feeds[channel].run(receive)
    finally:
        await host.leave()


def _checked_channel(service: Service, scope: Mapping[str, Any]) -> str:
    if scope["type"] != "channel":
        raise ConfigurationError(
            f"service {service.name!r} handles scopes of the type 'channel', not {scope['type']!r}: "
            'route to it with ProtocolTypeRouter({"channel": ChannelNameRouter({...})})'
        )
    channels = [service.request_channel, *([service.events_channel] if service.events else [])]
    if scope["channel"] not in channels:
        raise ConfigurationError(
            f"service {service.name!r} serves {' and '.join(channels)}, not {scope['channel']!r}: correct the routes"
        )
    return cast("str", scope["channel"])


class Feed:
    """A consumer of a layer that an ASGI server's ``receive`` feeds. Credit is taken before it is called."""

    def __init__(self, channel: str, sink: Sink, credit: Budget, bus: ServiceBus) -> None:
        self._channel, self._sink, self._credit, self._bus = channel, sink, credit, bus
        self._room = asyncio.Event()
        credit.subscribe(self._room.set)

    async def run(self, receive: Receive) -> None:
        """Receive and deliver. Cancelling is safe: a message that was received has been delivered."""
        while True:
            while self._credit.available <= 0:
                self._room.clear()
                await self._room.wait()
            self._credit.take(1)
            try:
                message = await receive()
            except BaseException:
                self._credit.release()
                raise
            self._deliver(message)

    def _deliver(self, message: object) -> None:
        try:
            frame = frame_of(message, "", self._bus.now_ms() + int(self._bus.expiry * 1000))
        except MalformedFrame as error:
            logger.warning("a message from %s was dropped: %s", self._channel, error)
            self._credit.release()
            return
        self._sink([frame], 0)

    async def ready(self) -> None:
        """At once."""

    async def stop(self) -> None:
        """Nothing is popped here; whoever feeds has stopped before."""


class FedLayer:
    """The layer of a bus, but for receiving, which somebody else does. The rest is the layer's."""

    def __init__(self, layer: Layer, bus: ServiceBus) -> None:
        self._layer, self._bus = layer, bus
        self.feeds: dict[str, Feed] = {}

    def consume(self, channel: str, sink: Sink, credit: Budget, *, worker_id: str = "") -> Feed:
        self.feeds[channel] = Feed(channel, sink, credit, self._bus)
        return self.feeds[channel]

    async def leave(self, channel: str, worker_id: str) -> None:
        """The worker that calls find is the one that receives."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)


class HostBus(ServiceBus):
    """A bus that lends its layer."""

    def layer(self) -> Layer:
        """What it speaks through, once it is open."""
        return self._opened()


class Host:
    """One service in one event loop, for as long as any instance of it runs."""

    _hosts: dict[tuple[asyncio.AbstractEventLoop, Service], Host] = {}  # noqa: RUF012

    def __init__(self, service: Service) -> None:
        self._service, self._instances = service, 0
        self._bus = HostBus(URL, service=service.name)
        self._serving: ServiceRunner | None = None
        self._opening: asyncio.Task[FedLayer] | None = None
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    def joined(cls, service: Service) -> Host:
        """The host of ``service`` in the running loop, for one more instance, which must leave it."""
        key = (asyncio.get_running_loop(), service)
        host = cls._hosts.get(key)
        if host is None:
            host = cls._hosts[key] = cls(service)
        host._instances += 1
        return host

    async def opened(self) -> FedLayer:
        """What feeds the service. Raises Unavailable or ConfigurationError. Cancelling is safe."""
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())
        return await asyncio.shield(self._opening)

    async def leave(self) -> None:
        """One instance less: the last one drains. Cancelling is safe: the drain goes on."""
        self._instances -= 1
        if self._instances:
            return
        loop = asyncio.get_running_loop()
        del self._hosts[loop, self._service]
        self._closing = loop.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _open(self) -> FedLayer:
        await self._bus.open()
        layer = FedLayer(self._bus.layer(), self._bus)
        worker_id = f"{self._service.name}-{os.getpid()}"
        self._serving = ServiceRunner(self._service, self._bus, cast("Layer", layer), worker_id, CONCURRENCY)
        await self._serving.start(START_WITHIN)
        return layer

    async def _close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._serving is not None:
            await self._serving.stop(DRAIN)
        await self._bus.close()
