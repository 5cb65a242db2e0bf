"""The bus: what users hold. It opens a layer, calls, sends, publishes and serves."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from .api.context import NO_HEADERS, Context, current
from .api.middleware import (
    BusMiddleware,
    Invocation,
    around_bus,
    checked,
)
from .api.service import Service
from .calling.blocking import SyncBus
from .calling.caller import Caller
from .calling.deliveries import Call
from .config import DEFAULT_CAPACITY, DEFAULT_EXPIRY, DEFAULT_MAX_MESSAGE_SIZE, default_keys, default_url
from .contract.names import checked_channel, checked_service
from .contract.request import Request, operation_of, reply_decoder
from .errors import (
    LARGEST_MESSAGE,
    ChannelFull,
    ConfigurationError,
    DeadlineExceeded,
    NoWorkers,
    RemoteError,
    SendUnknown,
)
from .foundation import forks
from .layers.factory import layer_for, signs, start_embedded, starts_server
from .layers.layer import Layer
from .layers.limits import Limits
from .protocol import error_codes
from .protocol.codec import PLAIN, UNDECODABLE, Codec
from .protocol.deadline import deadline_of
from .protocol.envelope import REPLY, IncomingReply
from .security import Keyring
from .security.signing import SigningCodec
from .serving.service_runner import ServiceRunner
from .telemetry import Counters

if TYPE_CHECKING:
    from .layers.redis.embedded import EmbeddedServer

Result = TypeVar("Result")
Message = Request[Any] | Mapping[str, Any]

DEFAULT_TIMEOUT = 5.0
MAX_PENDING = 65_536
POLL = 0.02

logger = logging.getLogger(__name__)


class ServiceBus:
    """A connection of one process to the bus, under the name of a service.

    Delivery is at most once: a call that fails is never sent again by the bus, and its error says whether it ran.

    Args:
        url: ``memory://``, ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://``, ``redis+cluster://``,
            ``embedded://`` or ``django://alias``; by default ``SERVICEBUS_URL``, then ``memory://``.
        service: who calls; handlers see it as ``context.caller``.
        timeout: seconds for a call that names none.
        capacity, channel_capacity: messages a channel may hold; globs or patterns to exceptions, the first match wins.
        expiry: seconds a message may lie unread.
        presence_ttl: seconds after which a worker that has gone silent no longer counts.
        prefix: of every Redis key; the same for all who are to meet.
        max_message_size: bytes of an encoded message; 64 KiB by default, 1 MiB at most; at caller and worker.
        max_pending: calls that may be pending at once.
        on_failover: what a worker does with messages that the failed primary had taken and a promoted replica still
            holds: ``"drop"`` them, for some have run already, or ``"keep"``, and run those twice rather than lose any.
        middleware: wraps every call, send and publish, the first outermost.
        signing: the keys that every frame is signed and verified with, by default those of the file that
            ``SERVICEBUS_KEYS`` names; without one nothing is signed.
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
        presence_ttl: float = 5.0,
        prefix: str = "asgi",
        max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
        max_pending: int = MAX_PENDING,
        on_failover: Literal["drop", "keep"] = "drop",
        middleware: Sequence[BusMiddleware] = (),
        signing: Keyring | None = None,
    ) -> None:
        _check(float, timeout=timeout, expiry=expiry, presence_ttl=presence_ttl)
        _check(int, capacity=capacity, max_pending=max_pending, max_message_size=max_message_size)
        _check(int, **{f"channel_capacity[{name!r}]": value for name, value in (channel_capacity or {}).items()})
        if max_message_size > LARGEST_MESSAGE:
            raise ConfigurationError(f"max_message_size is {max_message_size}: at most {LARGEST_MESSAGE} bytes")
        if not prefix:
            raise ConfigurationError("prefix is empty: the keys of the bus need one")
        self.url = url or default_url()
        self.service = checked_service(service)
        if on_failover not in ("drop", "keep"):
            raise ConfigurationError(f"on_failover is {on_failover!r}: 'drop' or 'keep'")
        self.timeout, self.expiry, self.max_message_size = timeout, expiry, max_message_size
        self.on_failover = on_failover
        self.codec = self._codec(signing, prefix)
        self.counters = Counters()
        self.sync = SyncBus(self)
        self.loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._limits = Limits(capacity, dict(channel_capacity or {}), expiry, presence_ttl)
        self._prefix, self._max_pending = prefix, max_pending
        self._proceed = around_bus(checked(middleware), self._leave) if middleware else None
        self._servings: list[ServiceRunner] = []
        self._server: EmbeddedServer | None = None
        self._layer: Layer | None = None
        self._caller: Caller | None = None
        self._closing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect. Raises Unavailable when there is no server, ConfigurationError for a bad URL or an old server."""
        if self.loop is not None:
            raise ConfigurationError("this bus is open already")
        self.loop, self._thread = asyncio.get_running_loop(), get_ident()
        if isinstance(self.codec, SigningCodec):
            self.codec.draw_nonces()  # a bus that was made before a fork is opened in several processes
        try:
            layer = await self._open_layer()
        except BaseException:
            self.loop = None
            await self._stop_server()
            raise
        forks.run_in_child(self, ServiceBus._disown)
        self._layer = layer
        self._caller = Caller(
            layer,
            self.service,
            self.counters,
            self.codec,
            expiry=self.expiry,
            max_size=self.max_message_size,
            max_pending=self._max_pending,
        )
        self._caller.on_cancelled = self._cancelled

    def _codec(self, signing: Keyring | None, prefix: str) -> Codec:
        if signing is None and (path := default_keys()):
            signing = Keyring.from_file(path)
        if signing is None:
            return PLAIN
        if not isinstance(signing, Keyring):
            raise ConfigurationError(f"signing is a {type(signing).__name__}: give a Keyring")
        if not signs(self.url):
            raise ConfigurationError(
                "signing: django:// moves messages, not the bytes that are signed; give the URL of the server itself"
            )
        return SigningCodec(signing, prefix)

    async def _open_layer(self) -> Layer:
        url = self.url
        if starts_server(url):
            self._server = await start_embedded()
            url = self._server.url
        layer = layer_for(url, self._prefix, self._limits, self.service, self.codec.restamped)
        await layer.open()
        return layer

    async def close(self) -> None:
        """Drain what is served here, fail what is pending, flush and disconnect. Idempotent.

        Cancelling the wait is safe: closing goes on.
        """
        if self._layer is None or self._caller is None:
            return
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(self._layer, self._caller))
        await asyncio.shield(self._closing)

    async def _close(self, layer: Layer, caller: Caller) -> None:
        for serving in list(self._servings):
            await self._end(serving, drain=5.0)
        await caller.close()
        await layer.close()
        await self._stop_server()
        self._layer = self._caller = self.loop = self._closing = None

    @overload
    async def call(self, channel: str, request: Request[Result], *, timeout: float | None = None) -> Result: ...

    @overload
    async def call(self, channel: str, request: Mapping[str, Any], *, timeout: float | None = None) -> Any: ...

    async def call(self, channel: str, request: Any, *, timeout: float | None = None) -> Any:
        """Call an operation and return its reply: of the request's reply type, or plain values for a dict.

        Inside a handler the deadline is the earlier of ``timeout`` seconds from now and the handler's own.

        Raises: NoWorkers, ChannelFull, Overloaded, Unavailable, InvalidRequest, UnknownOperation, MessageTooLarge (the
        handler did not run); DeadlineExceeded, SendUnknown, WorkerLost (see ``executed``); RemoteError and the
        contract's ServiceErrors (it ran and failed); ConfigurationError for a bad name or timeout.
        Cancelling is safe: the request is withdrawn unless a worker has taken it.
        """
        if self._proceed is not None:
            effective = self.timeout if timeout is None else timeout
            return await self._proceed(Invocation("call", channel, request, effective))
        # The same lines are in _leave: one coroutine for both would cost every call a fortieth more.
        caller = self._calling()
        call = self._start(caller, channel, request, timeout)
        try:
            reply: IncomingReply = await call.future
        except BaseException:
            caller.over(call)
            raise
        return self._result(call, request, reply)

    async def send(self, channel: str, message: Message) -> None:
        """Send a one-way message and return when the channel has taken it. No reply, and no word if it fails later.

        Raises ChannelFull, Unavailable, Overloaded, MessageTooLarge, InvalidRequest (not sent) or SendUnknown.
        Cancelling is safe: the message may or may not be sent.
        """
        await self._go(Invocation("send", channel, message, self.timeout))

    async def publish(self, event: str, body: Any) -> None:
        """Publish an event: each subscribing service gets one copy. Returns when the layer has taken them.

        ``body`` is a Struct or plain values. A subscriber whose channel is full misses the event; that is logged and
        counted, and is no error. Raises Unavailable, MessageTooLarge, InvalidRequest or SendUnknown.
        Cancelling is safe: subscribers may or may not get the event.
        """
        await self._go(Invocation("publish", event, body, self.timeout))

    async def gather(
        self, *calls: tuple[str, Message], timeout: float | None = None, return_exceptions: bool = False
    ) -> list[Any]:
        """Make several calls at once, in one round trip, and return their replies in order.

        Waits for all of them. Then raises the first error, in order of the arguments, unless ``return_exceptions``.
        Cancelling is safe, as for ``call``.
        """
        tasks = [asyncio.ensure_future(self.call(channel, request, timeout=timeout)) for channel, request in calls]
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
        self, service: Service, *, concurrency: int = 256, drain: float = 25.0
    ) -> AsyncIterator[ServiceRunner]:
        """Serve ``service`` in this process while the block runs; on leaving it, drain.

        ``concurrency`` is the credit: messages held at once, of each of the service's channels. ``drain`` is how many
        seconds handlers may take to finish.
        """
        # It names the inbox of this process, where a caller that goes away says so.
        worker_id = f"{service.name}-{os.getpid()}-{os.urandom(8).hex()}@{self._calling().listen()}"
        serving = ServiceRunner(service, self, self._opened(), worker_id, concurrency)
        self._servings.append(serving)
        try:
            await serving.start(within=10.0)
            yield serving
        finally:
            await self._end(serving, drain)

    async def workers(self, channel: str) -> int:
        """How many workers serve ``channel`` now. Raises Unavailable. Cancelling is safe."""
        return await self._opened().workers(checked_channel(channel))

    async def wait_for_workers(self, *channels: str, timeout: float = 10.0) -> None:
        """Return when every channel has a worker. Raises NoWorkers after ``timeout`` seconds. Cancelling is safe."""
        give_up = time.monotonic() + timeout
        for channel in channels:
            while not await self.workers(channel):
                if time.monotonic() >= give_up:
                    raise NoWorkers(channel)
                await asyncio.sleep(POLL)

    def now_ms(self) -> int:
        """The server's clock, in milliseconds: what deadlines are measured on."""
        return self._opened().now_ms()

    @property
    def pending(self) -> int:
        """Calls that wait for a reply."""
        return self._caller.pending if self._caller else 0

    async def _go(self, invocation: Invocation) -> Any:
        return await (self._proceed or self._leave)(invocation)

    async def _leave(self, invocation: Invocation) -> Any:
        if invocation.kind == "call":
            caller = self._calling()
            call = self._start(caller, invocation.channel, invocation.message, invocation.timeout)
            try:
                reply: IncomingReply = await call.future
            except BaseException:
                caller.over(call)
                raise
            return self._result(call, invocation.message, reply)
        if invocation.kind == "send":
            return await self._send(invocation.channel, invocation.message)
        return await self._publish(invocation.channel, invocation.message)

    def _start(self, caller: Caller, channel: str, request: Any, timeout: float | None) -> Call:
        context, now_ms, operation = current(), caller.now_ms(), operation_of(request)
        outer_ms = context.deadline_ms if context else 0
        deadline_ms = deadline_of(now_ms, self.timeout if timeout is None else timeout, outer_ms)
        if deadline_ms <= now_ms:
            raise DeadlineExceeded(checked_channel(channel), operation, "queued")
        return caller.start(channel, operation, request, now_ms, deadline_ms, context)

    def _result(self, call: Call, request: Any, reply: IncomingReply) -> Any:
        if reply.type != REPLY:
            module = type(request).__module__ if isinstance(request, Request) else None
            raise error_codes.from_wire(reply, call.channel, call.operation, module)
        kind: Any = type(request)
        try:
            return reply_decoder(kind)(reply.body)
        except UNDECODABLE as error:
            raise RemoteError("reply_invalid", f"the reply is not what the contract says: {error}") from error

    async def _send(self, channel: str, message: Any) -> None:
        await self._calling().send(checked_channel(channel), operation_of(message), message, current())

    async def _publish(self, event: str, body: Any) -> None:
        caller, context = self._calling(), current()
        channels = await self._opened().subscribers(checked_channel(event))
        if not (context and context.correlation_id):
            context = Context(caller.fresh_id(), context.headers if context else NO_HEADERS)
        copies = [caller.send(channel, event, body, context) for channel in channels]
        outcomes = await asyncio.gather(*copies, return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for failure in [failure for failure in failures if isinstance(failure, ChannelFull)]:
            self.counters.full_subscribers += 1
            logger.warning("a subscriber of %s missed it: %s", event, failure)
            failures.remove(failure)
        if failures and any(getattr(outcome, "executed", "maybe") != "no" for outcome in outcomes):
            raise SendUnknown(event, f"some subscribers have it, others do not: {failures[0]}") from failures[0]
        if failures:
            raise failures[0]

    def _cancelled(self, reply_channels: set[str]) -> None:
        for serving in self._servings:
            serving.cancel(reply_channels)

    async def _end(self, serving: ServiceRunner, drain: float) -> None:
        await serving.stop(drain)
        if serving in self._servings:
            self._servings.remove(serving)

    async def _stop_server(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    def _opened(self) -> Layer:
        if self._layer is None:
            raise _not_open()
        return self._layer

    def _calling(self) -> Caller:
        if self._caller is None:
            raise _not_open()
        # asyncio.get_running_loop() is a system call on CPython 3.11, and nearly always this says the same.
        if self._thread != get_ident() or self.loop is None or not self.loop.is_running():
            self._check_loop()
        return self._caller

    def _check_loop(self) -> None:
        if self.loop is not asyncio.get_running_loop():
            raise ConfigurationError("the bus belongs to the event loop that opened it; from elsewhere use bus.sync")
        self._thread = get_ident()  # the loop goes on in another thread

    def _disown(self) -> None:
        """In the child of a fork: no thread there may use this bus, which would speak on its parent's connection."""
        self._thread = 0


def _check(kind: type[int | float], /, **numbers: Any) -> None:
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, (int, kind)) or not 0 < value < math.inf:
            raise ConfigurationError(f"{name} is {value!r}: give a {'whole ' if kind is int else ''}number above 0")


def _not_open() -> ConfigurationError:
    return ConfigurationError("the bus is not open: use `async with ServiceBus(...) as bus:`")
