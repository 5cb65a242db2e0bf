"""What exists while a bus is open: its layer, both of its halves, and the order in which they are closed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any

from .api.bus import Bus
from .api.context import current
from .api.middleware import Invocation
from .api.service import Service
from .api.wire import Wire
from .calling.caller import Caller
from .calling.publisher import Publisher
from .config import CLOSE_DRAIN, BusConfig
from .contract.names import checked_channel
from .contract.request import operation_on, reply_decoder
from .errors import ConfigurationError, RemoteError
from .foundation import forks
from .foundation.tasks import Once, TaskSet, outcome_of
from .layers.factory import layer_for, start_embedded, starts_server
from .layers.layer import Layer
from .layers.limits import Limits
from .protocol import error_codes
from .protocol.codec import UNDECODABLE
from .protocol.envelope import REPLY, IncomingReply
from .serving.service_runner import ServiceRunner

if TYPE_CHECKING:
    from .layers.redis.embedded import EmbeddedServer

START_WITHIN = 10.0
"""Seconds for subscribing and registering a service, before the server counts as not to be reached."""


class Session:
    """One connection to the bus, from ``open`` to ``close``. It belongs to the event loop that opened it."""

    def __init__(
        self, layer: Layer, wire: Wire, service: str, config: BusConfig, on_closed: Callable[[], Awaitable[None]]
    ) -> None:
        self.loop = asyncio.get_running_loop()
        # The thread that the loop was last seen in; 0 in the child of a fork, where no thread may use this session.
        self._thread = get_ident()
        self.layer = layer
        self.caller = Caller(layer, wire, service, config.max_pending)
        self._publisher = Publisher(layer, wire, service, self.caller)
        self._wire = wire
        self._observer = wire.observer
        self._process = os.getpid()
        # The services that are served here.
        self._runners: list[ServiceRunner] = []
        # Services that are being registered.
        self._starting = TaskSet()
        self._on_closed = on_closed
        # Drains, disconnects and tells the bus, once for all who ask for it.
        self.close = Once(self._close)
        forks.run_in_child(self, Session._disown)

    async def call(self, channel: str, request: Any, timeout: float) -> Any:
        """Make one call. See ``ServiceBus.call``.

        Raises:
            RemoteError: the reply is not of the type that the request declares; the handler ran.

        Cancelling is safe: the request is withdrawn.
        """
        self.check_loop()
        caller = self.caller
        call = caller.start(channel, request, timeout)
        try:
            reply: IncomingReply = await call.future
        except BaseException as error:
            caller.forget(call)
            if self._observer is not None:
                self._observer.settled(call, error)
            raise
        if self._observer is not None:
            self._observer.settled(call, None)
        kind: Any = type(request)
        if reply.type != REPLY:
            raise error_codes.from_wire(reply, call.channel, call.operation, kind)
        try:
            return reply_decoder(kind)(reply.body)
        except UNDECODABLE as error:
            raise RemoteError("reply_invalid", f"the reply is not what the contract says: {error}") from error

    async def transmit(self, invocation: Invocation) -> Any:
        """Do what an invocation says: the innermost step of a bus's middleware. Cancelling is as safe as for each."""
        match invocation.kind:
            case "call":
                return await self.call(invocation.channel, invocation.message, invocation.timeout)
            case "send":
                return await self.send(invocation.channel, invocation.message)
        return await self.publish(invocation.channel, invocation.message)

    async def send(self, channel: str, message: Any) -> None:
        """Send a one-way message. See ``ServiceBus.send``. Cancelling is safe."""
        self.check_loop()
        await self._publisher.send(checked_channel(channel), operation_on(channel, message), message, current())

    async def publish(self, event: str, body: Any) -> None:
        """Publish an event. See ``ServiceBus.publish``. Cancelling is safe."""
        self.check_loop()
        await self._publisher.publish(event, body)

    @asynccontextmanager
    async def serving(self, service: Service, bus: Bus, concurrency: int, drain: float) -> AsyncIterator[ServiceRunner]:
        """Serve a service while the block runs. See ``ServiceBus.serving``."""
        self.check_loop()
        self._check_open()
        inbox = self.caller.inbox
        # The worker's ID names the inbox of this process, where callers that go away report it.
        worker_id = f"{service.name}-{os.getpid()}-{os.urandom(8).hex()}@{inbox.read()}"
        runner = ServiceRunner(service, bus, self._wire, self.layer, worker_id, concurrency)
        self._runners.append(runner)
        inbox.subscribe(runner.cancel)
        try:
            await outcome_of(self._starting.spawn(runner.start(START_WITHIN)), closed_meanwhile)
            self._check_open()
            yield runner
        finally:
            await self._end(runner, drain)

    async def workers(self, channel: str) -> int:
        """How many workers serve ``channel`` now. Cancelling is safe."""
        self.check_loop()
        return await self.layer.workers(checked_channel(channel))

    def now_ms(self) -> int:
        """The server's clock, in milliseconds."""
        return self.layer.now_ms()

    @property
    def pending(self) -> int:
        """How many calls wait for a reply."""
        return self.caller.pending

    def check_loop(self) -> None:
        """Refuse the use of the session in another event loop than its own, and in the child of a fork.

        Raises:
            ConfigurationError: this is another event loop, or another process.
        """
        # asyncio.get_running_loop() is a system call on CPython 3.11, and nearly always the thread tells the same.
        if self._thread != get_ident() or not self.loop.is_running():
            self.check_process()
            if self.loop is not asyncio.get_running_loop():
                raise ConfigurationError(
                    "the bus belongs to the event loop that opened it; from elsewhere use bus.sync"
                )
            self._thread = get_ident()  # the loop goes on in another thread

    def check_process(self) -> None:
        """Refuse the use of the session in the child of a fork, which shares its connections with the parent.

        Raises:
            ConfigurationError: this is another process.
        """
        if self._process != os.getpid():
            raise ConfigurationError("the bus was opened before a fork: make a ServiceBus in each process")

    def _check_open(self) -> None:
        if self.close.task is not None:
            raise closed_meanwhile()

    async def _close(self) -> None:
        await self._starting.cancel()
        for runner in list(self._runners):
            await self._end(runner, CLOSE_DRAIN)
        await self.caller.close()
        await self.layer.close()
        await self._on_closed()

    async def _end(self, runner: ServiceRunner, drain: float) -> None:
        await runner.stop(drain)
        self.caller.inbox.unsubscribe(runner.cancel)
        if runner in self._runners:
            self._runners.remove(runner)

    def _disown(self) -> None:
        """In the child of a fork: no thread there may use the connections of its parent."""
        self._thread = 0


class NotOpen:
    """Stands for the session of a bus that is not open. Every use of it raises ConfigurationError."""

    pending = 0

    def check_process(self) -> None:
        """Do nothing: a bus that is not open has no connection that could be another process's."""

    @property
    def layer(self) -> Layer:
        """Raise."""
        raise _not_open()

    @property
    def caller(self) -> Caller:
        """Raise."""
        raise _not_open()

    async def call(self, channel: str, request: Any, timeout: float) -> Any:
        """Raise. Cancelling is safe."""
        raise _not_open()

    async def transmit(self, invocation: Invocation) -> Any:
        """Raise. Cancelling is safe."""
        raise _not_open()

    async def send(self, channel: str, message: Any) -> None:
        """Raise. Cancelling is safe."""
        raise _not_open()

    async def publish(self, event: str, body: Any) -> None:
        """Raise. Cancelling is safe."""
        raise _not_open()

    def serving(
        self, service: Service, bus: Bus, concurrency: int, drain: float
    ) -> AbstractAsyncContextManager[ServiceRunner]:
        """Raise."""
        raise _not_open()

    async def workers(self, channel: str) -> int:
        """Raise. Cancelling is safe."""
        raise _not_open()

    def now_ms(self) -> int:
        """Raise."""
        raise _not_open()


NOT_OPEN = NotOpen()


def closed_meanwhile() -> ConfigurationError:
    """The error of what ``close`` has ended before it was done."""
    return ConfigurationError("the bus was closed meanwhile")


def _not_open() -> ConfigurationError:
    return ConfigurationError("the bus is not open: use `async with ServiceBus(...) as bus:`")


class Opener:
    """Opens the layer of a URL, with the private server that ``embedded://`` asks for, and closes both."""

    def __init__(self, url: str, service: str, config: BusConfig, wrap: Callable[[Layer], Layer] | None) -> None:
        self._url = url
        self._service = service
        self._config = config
        self._wrap = wrap
        self._server: EmbeddedServer | None = None

    async def open(self, wire: Wire) -> Layer:
        """Connect.

        Raises:
            Unavailable: there is no server.
            ConfigurationError: the URL is wrong, or the server is too old.

        Cancelling is safe: nothing is left behind.
        """
        url, config = self._url, self._config
        limits = Limits(
            capacity=config.capacity,
            channel_capacity=dict(config.channel_capacity),
            expiry=config.expiry,
            presence_ttl=config.presence_ttl,
            timing=config.timing,
        )
        try:
            if starts_server(url):
                self._server = await start_embedded()
                url = self._server.url
            layer = layer_for(url, config.prefix, limits, self._service, wire.codec.restamped)
            layer = self._wrap(layer) if self._wrap is not None else layer
            await layer.open()
        except BaseException:
            await self.stop_server()
            raise
        return layer

    @property
    def server_url(self) -> str | None:
        """The URL of the private server, None when there is none."""
        return self._server.url if self._server is not None else None

    async def stop_server(self) -> None:
        """Stop the private server, if there is one. Cancelling is safe: the server ends with this process."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()
