"""A service as an ASGI application, for scopes of the type "channel": what ``manage.py runworker`` runs.

    inventory = as_asgi(service)
    ProtocolTypeRouter({"channel": ChannelNameRouter({"inventory.request": inventory, "inventory.events": inventory})})

The server makes an instance of the application for each channel, when the channel's first message comes, and feeds it.
All instances that serve one service in one event loop share a host: a bus on the default channel layer, its
subscriptions and its background tasks. The host opens with the first instance and drains with the last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, cast
from weakref import WeakKeyDictionary

from ..api.service import Service
from ..bus import ServiceBus
from ..config import DEFAULT_CONCURRENCY
from ..errors import ConfigurationError
from ..foundation.repeated_log import RepeatedLog
from ..foundation.tasks import Once
from ..layers.foreign.messages import frame_of
from ..layers.layer import Consumer, Layer, Sink
from ..protocol.codec import MalformedFrame
from ..protocol.credit import Credit

URL = "django://default"
DRAIN = 5.0
"""Seconds handlers may take to finish: ``runworker`` ends a few seconds after it is told to."""

Receive = Callable[[], Awaitable[Any]]
Application = Callable[[Mapping[str, Any], Receive, Any], Awaitable[None]]

logger = logging.getLogger(__name__)


def as_asgi(service: Service, *, drain: float = DRAIN) -> Application:
    """An ASGI application that serves the channels of a service.

    Args:
        service: what to serve. Each event loop serves it once, whatever the number of its channels.
        drain: seconds that handlers may take to finish once the server cancels the last instance.

    Returns:
        The application. It raises ConfigurationError for a scope that is not one of the service's channels, and
        Unavailable when the bus cannot be opened. The server ends an instance by cancelling it: handlers are given time
        to finish, or their callers get WorkerLost.
    """
    hosts = _hosts.setdefault(service, {})

    async def application(scope: Mapping[str, Any], receive: Receive, send: Any) -> None:
        channel = _checked_channel(service, scope)
        loop = asyncio.get_running_loop()
        host = hosts.get(loop)
        if host is None:
            host = hosts[loop] = Host(service, drain)
        host.instances += 1
        try:
            feeds = await host.open()
            await feeds[channel].run(receive)
        finally:
            host.instances -= 1
            if not host.instances:
                del hosts[loop]
                await host.close()

    return application


def _checked_channel(service: Service, scope: Mapping[str, Any]) -> str:
    if scope["type"] != "channel":
        raise ConfigurationError(
            f"service {service.name!r} handles scopes of the type 'channel', not {scope['type']!r}: "
            'route to it with ProtocolTypeRouter({"channel": ChannelNameRouter({...})})'
        )
    channels = _channels_of(service)
    if scope["channel"] not in channels:
        raise ConfigurationError(
            f"service {service.name!r} serves {' and '.join(channels)}, not {scope['channel']!r}: correct the routes"
        )
    return cast("str", scope["channel"])


def _channels_of(service: Service) -> list[str]:
    return [service.request_channel, *([service.events_channel] if service.events else [])]


_hosts: WeakKeyDictionary[Service, dict[asyncio.AbstractEventLoop, Host]] = WeakKeyDictionary()
"""The hosts that are open, so that several applications of one service share theirs. ``as_asgi`` owns it."""


class Feed:
    """See ``Consumer``. An ASGI server's ``receive`` feeds it. Credit is taken before ``receive`` is called."""

    def __init__(self, channel: str, sink: Sink, credit: Credit, frame_of_message: Callable[[object], bytes]) -> None:
        self._channel = channel
        self._sink = sink
        self._credit = credit
        self._frame_of = frame_of_message
        self._log = RepeatedLog(logger)
        # Set whenever there is credit again.
        self._room = asyncio.Event()
        credit.subscribe(self._room.set)

    async def run(self, receive: Receive) -> None:
        """Receive and deliver until cancelled. Cancelling is safe: a message that was received has been delivered."""
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
            frame = self._frame_of(message)
        except MalformedFrame as error:
            self._log.warning("a message from %s was dropped: %s", self._channel, error)
            self._credit.release()
            return
        self._sink([frame], 0)

    async def ready(self) -> None: ...

    async def stop(self) -> None: ...


class FedLayer:
    """See ``Layer``. A layer around another, for a service that an ASGI server feeds: it receives nothing itself."""

    def __init__(self, layer: Layer, service: Service, expiry_ms: int) -> None:
        self._layer = layer
        self._fed = _channels_of(service)
        self._expiry_ms = expiry_ms
        self.feeds: dict[str, Feed] = {}

    def consume(self, channel: str, sink: Sink, credit: Credit, *, worker_id: str = "") -> Consumer:
        if channel not in self._fed:
            return self._layer.consume(channel, sink, credit, worker_id=worker_id)
        feed = self.feeds[channel] = Feed(channel, sink, credit, self._frame_of)
        return feed

    async def leave(self, channel: str, worker_id: str) -> None: ...

    def _frame_of(self, message: object) -> bytes:
        return frame_of(message, "", self._layer.now_ms() + self._expiry_ms)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)


class Host:
    """One service in one event loop, for as long as any instance of its application runs.

    Attributes:
        instances: how many run.
    """

    def __init__(self, service: Service, drain: float) -> None:
        self.instances = 0
        self._service = service
        self._drain = drain
        self._layer: FedLayer | None = None
        self._bus = ServiceBus(URL, service=service.name, wrap_layer=self._wrap)
        self._stack = AsyncExitStack()
        self.open = Once(self._open)
        self.close = Once(self._close)

    def _wrap(self, layer: Layer) -> Layer:
        self._layer = FedLayer(layer, self._service, int(self._bus.config.expiry * 1000))
        return cast("Layer", self._layer)

    async def _open(self) -> Mapping[str, Feed]:
        await self._stack.enter_async_context(self._bus)
        serving = self._bus.serving(self._service, concurrency=DEFAULT_CONCURRENCY, drain=self._drain)
        await self._stack.enter_async_context(serving)
        assert self._layer is not None, "opening the bus has wrapped its layer"
        return self._layer.feeds

    async def _close(self) -> None:
        if self.open.task is not None:
            self.open.task.cancel()
            await asyncio.gather(self.open.task, return_exceptions=True)
        await self._stack.aclose()
