"""``ServiceBus``, the bus that users open: it keeps a session, and calls, sends, publishes and serves by it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Literal, Self, overload

from .api.bus import Message, Result
from .api.middleware import BusMiddleware, Invocation, around_bus, checked
from .api.service import Service
from .api.wire import Wire
from .calling.blocking import SyncBus
from .config import (
    DEFAULT_CAPACITY,
    DEFAULT_CONCURRENCY,
    DEFAULT_DRAIN,
    DEFAULT_EXPIRY,
    DEFAULT_MAX_MESSAGE_SIZE,
    DEFAULT_MAX_PENDING,
    DEFAULT_PREFIX,
    DEFAULT_PRESENCE_TTL,
    DEFAULT_TIMEOUT,
    DEFAULT_TIMING,
    BusConfig,
    Timing,
    default_url,
)
from .contract.names import checked_service
from .contract.request import Request, addressed
from .errors import ConfigurationError, NoWorkers
from .foundation.coroutines import markcoroutinefunction
from .foundation.tasks import outcome_of
from .layers.layer import Layer
from .security.codecs import codec_for
from .security.keyring import Keyring
from .serving.service_runner import ServiceRunner
from .session import NOT_OPEN, NotOpen, Opener, Session, closed_meanwhile
from .telemetry import Counters, Observer

PRESENCE_POLL = 0.02
"""Seconds between looks at the workers of a channel: a started worker is found at once, for one small command each."""


class ServiceBus:
    """A connection of one process to the bus, under the name of a service.

    Delivery is at most once: a call that fails is never sent again by the bus, and its error says whether it ran.

    Args:
        url: ``memory://``, ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://``, ``redis+cluster://``,
            ``embedded://`` or ``django://alias``; by default ``SERVICEBUS_URL``, then ``memory://``.
        service: the name of the caller; handlers see it as ``context.caller``.
        timeout: seconds for a call that names no timeout.
        capacity: messages that a channel may hold.
        channel_capacity: globs or compiled patterns to the capacity of the channels they match; the first match counts.
        expiry: seconds that a message may lie unread.
        presence_ttl: seconds after which a worker that has gone silent no longer counts.
        prefix: what every Redis key starts with; the same for all who are to meet.
        max_message_size: bytes of an encoded message, sent or received: 64 KiB by default, 1 MiB at most.
        max_pending: calls that may wait for replies at once.
        on_failover: what a worker does with messages that the failed primary had taken and a promoted replica still
            holds: ``"drop"`` them, because some have run already, or ``"keep"``, and run those twice rather than lose
            any.
        middleware: wraps every call, send and publish; the first is outermost.
        signing: the keys that every frame is signed and verified with, by default those of the file that
            ``SERVICEBUS_KEYS`` names; without both nothing is signed.
        observer: is told of every message; None costs nothing.
        timing: how long the waits inside the bus take, for tests and for unusual networks.
        wrap_layer: replaces the layer by one around it, for test tools.

    Raises:
        ConfigurationError: an argument is not what it should be; the text names it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        service: str = "client",
        timeout: float = DEFAULT_TIMEOUT,
        capacity: int = DEFAULT_CAPACITY,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        expiry: float = DEFAULT_EXPIRY,
        presence_ttl: float = DEFAULT_PRESENCE_TTL,
        prefix: str = DEFAULT_PREFIX,
        max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
        max_pending: int = DEFAULT_MAX_PENDING,
        on_failover: Literal["drop", "keep"] = "drop",
        middleware: Sequence[BusMiddleware] = (),
        signing: Keyring | None = None,
        observer: Observer | None = None,
        timing: Timing | None = None,
        wrap_layer: Callable[[Layer], Layer] | None = None,
    ) -> None:
        self.config = BusConfig(
            timeout=timeout,
            capacity=capacity,
            channel_capacity=dict(channel_capacity or {}),
            expiry=expiry,
            presence_ttl=presence_ttl,
            prefix=prefix,
            max_message_size=max_message_size,
            max_pending=max_pending,
            on_failover=on_failover,
            timing=timing or DEFAULT_TIMING,
        )
        self.url = url or default_url()
        self.service = checked_service(service)
        self.sync = SyncBus(self)
        self.wire = Wire.of(self.config, codec_for(signing, self.url, prefix, expiry), observer)
        self.counters: Counters = self.wire.counters
        self.opener = Opener(self.url, self.service, self.config, wrap_layer)
        # What exists while the bus is open.
        self.session: Session | NotOpen = NOT_OPEN
        # The event loop that the bus belongs to, from the first moment of open() until close() has ended.
        self.loop: asyncio.AbstractEventLoop | None = None
        # The last opening, which may have ended.
        self._opening: asyncio.Task[None] | None = None
        # The middleware around the session, for every call, send and publish; None without middleware.
        transmit = lambda invocation: self.session.transmit(invocation)  # noqa: E731 - it changes with every open()
        self._invoke = around_bus(checked(middleware), transmit) if middleware else None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect.

        Raises:
            Unavailable: there is no server, or it refuses.
            ConfigurationError: the bus is open already or was closed meanwhile, the URL is wrong, or the server is too
                old.

        Cancelling is safe: the bus is not open then, and nothing is left behind.

        A bus whose event loop was closed before the bus was is opened anew. Python closes its old connections, with a
        ResourceWarning, when it collects them.
        """
        if self.loop is not None and self.loop.is_closed():
            await self._closed()
        if self.loop is not None:
            raise ConfigurationError("this bus is open already")
        self.loop = asyncio.get_running_loop()
        self._opening = asyncio.create_task(self._open())
        self._opening.add_done_callback(self._opened)
        try:
            await outcome_of(self._opening, closed_meanwhile)
        except asyncio.CancelledError:
            await self.close()
            raise

    async def _open(self) -> None:
        self.wire.codec.begin()
        layer = await self.opener.open(self.wire)
        self.session = Session(layer, self.wire, self.service, self.config, self._closed)

    def _opened(self, opening: asyncio.Task[None]) -> None:
        # Also for a task that was cancelled before it began.
        if opening.cancelled() or opening.exception() is not None:
            self.loop = None

    async def close(self) -> None:
        """Drain the services served here, fail pending calls, flush and disconnect. Idempotent.

        In the middle of ``open``, end that: ``open`` raises ConfigurationError then.

        Raises:
            ConfigurationError: this is not the event loop that opened the bus, or not its process.

        Cancelling is safe: closing goes on.
        """
        if self.loop is not None and self.loop.is_closed():
            await self._closed()
        if isinstance(self.session, Session):
            self.session.check_loop()
            await self.session.close()
        elif self._opening is not None and self.loop is asyncio.get_running_loop():
            self._opening.cancel()
            await asyncio.wait({self._opening})

    @overload
    def call(self, request: Request[Result], /, *, timeout: float | None = None) -> Coroutine[Any, Any, Result]: ...

    @overload
    def call(
        self, channel: str, request: Request[Result], *, timeout: float | None = None
    ) -> Coroutine[Any, Any, Result]: ...

    @overload
    def call(
        self, channel: str, request: Mapping[str, Any], *, timeout: float | None = None
    ) -> Coroutine[Any, Any, Any]: ...

    @markcoroutinefunction
    def call(self, channel: Any, request: Any = None, *, timeout: float | None = None) -> Coroutine[Any, Any, Any]:
        """Call an operation and return its reply: of the request's reply type, or plain values for a dict.

        Inside a handler the deadline is the earlier of ``timeout`` seconds from now and the handler's own.

        Args:
            channel: the channel of the service. Left out when the request names its service.
            request: a ``Request``, or a dict with a ``type``.
            timeout: seconds; by default the timeout of the bus.

        Raises:
            NoWorkers, ChannelFull, Overloaded, Unavailable, InvalidRequest, UnknownOperation, Unauthorized,
                MessageTooLarge: the handler did not run.
            DeadlineExceeded, SendUnknown, WorkerLost: see ``executed``.
            RemoteError, and the contract's ServiceErrors: the handler ran and failed.
            ConfigurationError: a bad name or timeout, or a request that belongs to another channel.

        Cancelling is safe: the request is withdrawn unless a worker has taken it, and a worker that has it is told.
        """
        # A plain function that returns the one coroutine of a call: another around it would cost a fortieth more.
        if request is None:
            channel, request = addressed(channel, request)
        if timeout is None:
            timeout = self.config.timeout
        if self._invoke is None:
            return self.session.call(channel, request, timeout)
        return self._invoke(Invocation("call", channel, request, timeout))

    async def send(self, channel: str | Request[Any], message: Message | None = None) -> None:
        """Send a one-way message and return when the channel has taken it. Errors of its handler are only logged there.

        Args:
            channel: the channel of the service. Left out when the message is a Request that names its service.
            message: a ``Request``, or a dict with a ``type``.

        Raises:
            ChannelFull, Unavailable, Overloaded, MessageTooLarge, InvalidRequest: it was not sent.
            SendUnknown: it may have been sent.

        Cancelling is safe: the message may or may not be sent.
        """
        invocation = Invocation("send", *addressed(channel, message), self.config.timeout)
        await (self._invoke or self.session.transmit)(invocation)

    async def publish(self, event: str, body: Any) -> None:
        """Publish an event: each subscribing service gets one copy. Returns when the layer has taken them.

        A subscriber whose channel is full misses the event. That is logged and counted, and is not an error.

        Args:
            event: its name, a channel name such as ``orders.placed``.
            body: a Struct or plain values.

        Raises:
            Unavailable, MessageTooLarge, InvalidRequest: no subscriber got it.
            SendUnknown: some subscribers may have it and others not.

        Cancelling is safe: subscribers may or may not get the event.
        """
        await (self._invoke or self.session.transmit)(Invocation("publish", event, body, self.config.timeout))

    async def gather(
        self,
        *calls: Request[Any] | tuple[str, Message],
        timeout: float | None = None,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """Make several calls at once, in one round trip, and return their replies in order.

        Waits for all of them. Then raises the first error, in order of the arguments, unless ``return_exceptions``.

        Args:
            calls: ``(channel, request)`` each, or a Request that names its service.
            timeout: seconds for each call; by default the timeout of the bus.
            return_exceptions: return errors in the place of their replies.

        Cancelling is safe, as for ``call``: all of the calls are cancelled.
        """
        started = [call if isinstance(call, tuple) else (call,) for call in calls]
        tasks = [asyncio.ensure_future(self.call(*call, timeout=timeout)) for call in started]
        try:
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        if not return_exceptions:
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
        return outcomes

    @asynccontextmanager
    async def serving(
        self, service: Service, *, concurrency: int = DEFAULT_CONCURRENCY, drain: float = DEFAULT_DRAIN
    ) -> AsyncIterator[ServiceRunner]:
        """Serve a service in this process while the block runs; on leaving the block, drain.

        Args:
            service: what to serve.
            concurrency: the credit: messages held at once, of each of the service's channels.
            drain: seconds that handlers may take to finish.

        Raises:
            Unavailable: the service could not be registered.
            ConfigurationError: the bus is not open, or is being closed.

        Cancelling is safe: what was started is drained.
        """
        async with self.session.serving(service, self, concurrency, drain) as runner:
            yield runner

    async def workers(self, channel: str) -> int:
        """How many workers serve ``channel`` now. Cancelling is safe.

        Raises:
            Unavailable: the server could not be asked.
        """
        return await self.session.workers(channel)

    async def wait_for_workers(self, *channels: str, timeout: float = 10.0) -> None:
        """Return when every channel has a worker. Cancelling is safe.

        Raises:
            NoWorkers: a channel has none after ``timeout`` seconds.
            Unavailable: the server could not be asked.
        """
        give_up = time.monotonic() + timeout
        for channel in channels:
            while not await self.workers(channel):
                if time.monotonic() >= give_up:
                    raise NoWorkers(channel)
                await asyncio.sleep(PRESENCE_POLL)

    def now_ms(self) -> int:
        """The server's clock, in milliseconds: the clock that deadlines are instants on."""
        return self.session.now_ms()

    @property
    def pending(self) -> int:
        """How many calls wait for a reply."""
        return self.session.pending

    async def _closed(self) -> None:
        await self.opener.stop_server()
        self.session, self.loop = NOT_OPEN, None
