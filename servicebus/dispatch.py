"""From frame to handler to reply: the loop that a worker spends its life in.

A frame is decoded, checked against fence, expiry and deadline, routed by its type, and handled in a task of its own;
the reply goes back to the layer, the credit to the receiver. Whatever happens, a request that wants a reply gets
exactly one, and a message past its deadline never starts.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import sys
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import msgspec

from .context import Context, enter
from .counters import Counters
from .errors import (
    InvalidRequest,
    MessageTooLarge,
    Overloaded,
    RemoteError,
    ServiceBusError,
    Unauthorized,
    UnknownOperation,
)
from .layers.base import Layer
from .middleware import Endpoint, around_handler
from .protocol import faults
from .protocol.codec import (
    DEFAULT_MAX_SIZE,
    MAX_SIZE,
    UNDECODABLE,
    MalformedFrame,
    decode_raw,
    decode_request,
    encode_frame,
)
from .protocol.credit import Credit
from .protocol.envelope import NO_BODY, REPLY, IncomingRequest, OutgoingError, OutgoingReply, RequestFrame
from .protocol.names import MAX_LENGTH, caller_of, is_channel, route
from .service import Handler, Service

if TYPE_CHECKING:
    from .bus import ServiceBus

KNOWN_REPLY_CHANNELS = 10_000
CANCEL_WITHIN = 1.0

logger = logging.getLogger(__name__)


class Reply:
    """A reply on its way. Nobody waits for the outcome; a reply that the layer did not take is counted."""

    __slots__ = ("_counters", "channel", "frame")
    needs_worker = False
    counted = ""

    def __init__(self, channel: str, frame: bytes, counters: Counters) -> None:
        self.channel, self.frame, self._counters = channel, frame, counters

    def settle(self, error: ServiceBusError | None) -> None:
        if error is not None:
            self._counters.lost_replies += 1
            logger.warning("a reply was lost: %s", error)


class Dispatcher:
    """Handles the messages of one channel with one table of handlers, on one event loop."""

    def __init__(
        self, service: Service, handlers: Mapping[str, Handler], bus: ServiceBus, layer: Layer, credit: Credit
    ) -> None:
        self._bus, self._layer, self._credit, self._counters = bus, layer, credit, bus.counters
        self._max_size, self._expiry_ms = bus.max_message_size, int(bus.expiry * 1000)
        self._threads = ThreadPoolExecutor(thread_name_prefix=f"{service.name}-handler")
        self._known = tuple(sorted(handlers))
        self._endpoints = {
            name: (handler, around_handler(service.middleware, self._endpoint(handler, service.around_sync)))
            for name, handler in handlers.items()
        }
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reply_routes: dict[str, tuple[str, str]] = {}

    def deliver(self, frames: list[bytes], fence: int) -> None:
        """The layer's sink: start what may start, answer what may not. Every frame gives its credit back, once."""
        now_ms = self._layer.now_ms()
        for frame in frames:
            try:
                message = self._admitted(frame, fence, now_ms)
            except MalformedFrame as error:
                self._counters.rejected_frames += 1
                logger.warning("a frame was dropped: %s", error)
                message = None
            if message is None:
                self._credit.release()
            else:
                self._start(self._handle(message))

    async def finish(self, within: float) -> None:
        """Wait for the running handlers, ``within`` seconds at most; then cancel them. Their callers get WorkerLost."""
        tasks = set(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=within)
            for task in late:
                task.cancel()
            if late:
                _, deaf = await asyncio.wait(late, timeout=CANCEL_WITHIN)
                if deaf:
                    logger.error("%d handlers do not heed their cancellation and are abandoned", len(deaf))
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _admitted(self, frame: bytes, fence: int, now_ms: int) -> IncomingRequest | None:
        """The message in a frame, None when it must not start."""
        parsed = decode_request(frame, MAX_SIZE)
        message = parsed.message
        if parsed.fence and fence and parsed.fence != fence:
            self._counters.fenced_frames += 1
            return None
        if now_ms >= parsed.expires or (message.deadline and now_ms >= message.deadline):
            self._counters.expired_messages += 1
            self._answer(message, faults.expired())
            return None
        if len(frame) > self._max_size:
            self._refuse(message, MessageTooLarge(len(frame), self._max_size))
            return None
        return _flat(frame, parsed) if message.body is NO_BODY else message

    def _start(self, handling: Coroutine[Any, Any, None]) -> None:
        task = _eager_task(handling, self._loop)
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _handle(self, message: IncomingRequest) -> None:
        try:
            outcome = await self._outcome(message)
            if message.reply_channel:
                self._answer(message, outcome)
            elif isinstance(outcome, OutgoingError):
                # Nobody waits for this error: the log and the counter are all that will ever tell.
                self._counters.unanswered_errors += 1
                if outcome.code != "internal":  # which is logged already, with its traceback
                    logger.warning("%r was not handled: %s: %s", message.type, outcome.code, outcome.message)
        except asyncio.CancelledError:
            self._answer(message, faults.stopped())
            raise
        finally:
            self._credit.release()

    async def _outcome(self, message: IncomingRequest) -> OutgoingReply | OutgoingError:
        found = self._endpoints.get(message.type)
        if found is None:
            return faults.refused(UnknownOperation(message.type, self._known))
        handler, endpoint = found
        context = self._context(message)
        enter(context)
        try:
            request = handler.decode(message.body)
        except UNDECODABLE as error:
            return faults.refused(faults.invalid(error))
        except Exception as error:
            logger.exception("reading a %r failed", message.type)
            return faults.refused(InvalidRequest(f"the request was refused by its own check: {type(error).__name__}"))
        if message.deadline and self._layer.now_ms() >= message.deadline:
            return self._expired()
        try:
            result = await endpoint(request, context)
            if handler.reply is not None and not isinstance(result, handler.reply):
                raise TypeError(f"{handler.name} returned a {type(result).__name__}, not a {handler.reply.__name__}")
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._failed(message, context, error)  # something that the handler awaited was cancelled, not it
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, its caller gets an answer
            return self._failed(message, context, error)
        self._counters.handled += 1
        return OutgoingReply(REPLY, result)

    def _refuse(self, message: IncomingRequest, error: MessageTooLarge) -> None:
        self._counters.rejected_frames += 1
        logger.warning("%r was refused: %s", message.type, error)
        self._answer(message, faults.refused(error))

    def _expired(self) -> OutgoingError:
        self._counters.expired_messages += 1
        return faults.expired()

    def _failed(self, message: IncomingRequest, context: Context, error: BaseException) -> OutgoingError:
        if not context.started:
            if isinstance(error, _NotStarted):
                return self._expired()
            if isinstance(error, InvalidRequest | Overloaded | Unauthorized):
                return faults.refused(error)  # by middleware
        self._counters.handled += 1
        self._counters.failed += 1
        if not isinstance(error, RemoteError):
            logger.error("%r failed (correlation ID %r)", message.type, context.correlation_id, exc_info=error)
        return faults.failed(error)

    def _context(self, message: IncomingRequest) -> Context:
        reply_channel = message.reply_channel
        return Context(
            message.correlation_id or reply_channel.rpartition("!")[2],
            message.headers,
            message.deadline,
            message.caller or caller_of(reply_channel),
            self._bus,
        )

    def _answer(self, message: IncomingRequest, outcome: OutgoingReply | OutgoingError) -> None:
        if not message.reply_channel:
            return
        target = self._reply_route(message.reply_channel)
        if target is None:
            self._counters.rejected_frames += 1
            logger.warning("a reply was dropped: %r is no channel name", message.reply_channel)
            return
        channel, local = target
        self._layer.push(Reply(channel, self._encoded(channel, local, outcome), self._counters))

    def _reply_route(self, reply_channel: str) -> tuple[str, str] | None:
        """Where a reply goes, None when that is no legal name: it came from outside. What repeats is remembered."""
        name, mark, rest = reply_channel.partition("!")
        known = self._reply_routes.get(name)
        if known is not None and len(reply_channel) < MAX_LENGTH:
            return known[0], known[1] + rest
        if not is_channel(reply_channel):
            return None
        if len(self._reply_routes) >= KNOWN_REPLY_CHANNELS:
            self._reply_routes.clear()
        if mark:
            self._reply_routes[name] = route(name + mark)
        return route(reply_channel)

    def _encoded(self, channel: str, local: str, outcome: OutgoingReply | OutgoingError) -> bytes:
        fence, expires = self._layer.fence_of(channel), self._layer.now_ms() + self._expiry_ms
        try:
            return encode_frame(fence, expires, local, outcome, self._max_size)
        except MessageTooLarge as error:
            details = {"size": error.size, "limit": error.limit}
            text = f"the reply of {error.size} bytes is over the limit of {error.limit}"
            failure = OutgoingError("error", "reply_too_large", "yes", text, details)
        except Exception:
            logger.exception("a reply cannot be encoded")
            failure = OutgoingError("error", "reply_not_encodable", "yes", "the reply cannot be encoded as msgpack")
        return encode_frame(fence, expires, local, failure, DEFAULT_MAX_SIZE)

    def _endpoint(self, handler: Handler, around_sync: Any) -> Endpoint:
        function = handler.function
        if handler.in_thread:
            return self._thread_endpoint(handler, around_sync)

        async def call(request: Any, context: Context) -> Any:
            # A context that was never started is how _failed knows that middleware refused before the handler.
            context.started = True
            return await (function(request, context) if handler.wants_context else function(request))

        return call

    def _thread_endpoint(self, handler: Handler, around_sync: Any) -> Endpoint:
        function = handler.function

        def call(request: Any, context: Context) -> Any:
            if context.deadline_ms and self._layer.now_ms() >= context.deadline_ms:
                raise _NotStarted
            context.started = True
            manager: AbstractContextManager[Any] = around_sync()
            try:
                with manager:
                    result = function(request, context) if handler.wants_context else function(request)
            except SystemExit as error:
                raise RuntimeError(f"{handler.name} called sys.exit({error.code!r})") from error
            if inspect.iscoroutine(result):
                result.close()
                raise TypeError(f"{handler.name} is declared with def, but returns a coroutine: was it wrapped?")
            return result

        async def endpoint(request: Any, context: Context) -> Any:
            run = contextvars.copy_context().run
            return await self._loop.run_in_executor(self._threads, run, call, request, context)

        return endpoint


class _NotStarted(Exception):
    """The deadline passed while the message waited for a thread."""


def _flat(frame: bytes, parsed: RequestFrame) -> IncomingRequest:
    """A message without a body is its own body: what a plain Channels consumer sends."""
    raw = decode_raw(frame, len(frame)).message
    return msgspec.structs.replace(parsed.message, body=raw)


if sys.version_info >= (3, 12):

    def _eager_task(handling: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        return asyncio.Task(handling, loop=loop, eager_start=True)

else:

    def _eager_task(handling: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        return loop.create_task(handling)
