"""From frame to handler to reply: the loop that a worker spends its life in.

A frame is decoded, checked against fence, expiry and deadline, routed by its type, and handled in a task of its own;
the reply goes back to the layer, the credit to the receiver. Whatever happens, a request that wants a reply gets
exactly one, and a message past its deadline never starts.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from ..api.context import (
    NO_HEADERS,
    Context,
    check_received,
    enter,
)
from ..api.service import Handler, Service
from ..errors import (
    LARGEST_MESSAGE,
    InvalidRequest,
    MessageTooLarge,
    Overloaded,
    RemoteError,
    Unauthorized,
    UnknownOperation,
)
from ..foundation.text import printable
from ..layers.layer import Layer
from ..protocol import error_codes
from ..protocol.codec import (
    UNDECODABLE,
    MalformedFrame,
    decode_raw,
    decode_request,
)
from ..protocol.codel import Codel
from ..protocol.credit import Credit
from ..protocol.envelope import (
    NO_BODY,
    REPLY,
    IncomingRequest,
    OutgoingError,
    OutgoingReply,
    RequestFrame,
)
from ..protocol.replay_guard import Replays
from .adaptive import Handle, Outcome, steered
from .endpoints import Endpoints, NotStarted, Route
from .replies import Origin, Replies

if TYPE_CHECKING:
    from ..bus import ServiceBus

CANCEL_WITHIN = 1.0
REMEMBER_CANCELLED = 2.0

logger = logging.getLogger(__name__)


class Dispatcher:
    """Handles the messages of one channel with one table of handlers, on one event loop."""

    def __init__(
        self,
        channel: str,
        service: Service,
        handlers: Mapping[str, Handler],
        bus: ServiceBus,
        layer: Layer,
        credit: Credit,
    ) -> None:
        self._bus, self._credit, self._counters = bus, credit, bus.counters
        self._max_size, self._now_ms = bus.max_message_size, layer.now_ms
        self._known = tuple(sorted(handlers))
        self._endpoints = Endpoints(service, handlers, layer.now_ms)
        self._routes = self._endpoints.routes
        self._decode, self._replays = bus.codec.reading(channel, decode_request), bus.codec.replays
        expiry_ms = int(bus.expiry * 1000)
        replies = Replies(layer, bus.counters, bus.codec, max_size=bus.max_message_size, expiry_ms=expiry_ms)
        self._replies, self._reply, self._origin = replies, replies.send, replies.origin
        self._loop = asyncio.get_running_loop()
        self._make_task = _task_factory(self._loop)
        adaptive, handle = service.adaptive, self._handle
        self._run: Handle = steered(adaptive, channel, credit, handle) if adaptive else handle
        self._running: dict[int, tuple[asyncio.Task[Outcome], IncomingRequest]] = {}
        self._codel = Codel(service.shedding) if service.shedding else None
        self._looks_at_all = self._codel is not None or self._replays is not None
        self._resurrected_too = bus.on_failover == "keep"
        self._resurrected: set[str] = set()
        self._cancelled: set[str] = set()

    def deliver(self, frames: list[bytes], fence: int) -> None:
        """The layer's sink: start what may start, answer what may not. Every frame gives its credit back, once."""
        now_ms, largest = self._now_ms(), self._max_size
        suspicious, decode, run = self._looks_at_all or bool(self._cancelled), self._decode, self._run
        for frame in frames:
            message: IncomingRequest | None = None
            try:
                parsed = decode(frame, LARGEST_MESSAGE)
                message = parsed.message
            except MalformedFrame as error:
                self._counters.rejected_frames += 1
                logger.warning("a frame was dropped: %s", error)
            else:
                in_time = now_ms < parsed.expires and now_ms < (message.deadline or parsed.expires)
                plain = in_time and parsed.fence == fence and message.body is not NO_BODY
                if not plain or suspicious or len(frame) > largest:
                    message = self._admitted(parsed, frame, fence, now_ms)
            if message is None:
                self._credit.release()
                continue
            task = self._make_task(run(message))
            if not task.done():
                self._running[id(message)] = task, message  # it leaves by itself, which costs less than a callback

    async def finish(self, within: float) -> None:
        """Wait for the running handlers, ``within`` seconds at most; then cancel them. Their callers get WorkerLost."""
        await asyncio.sleep(0)  # what was delivered in this tick starts, so that it can be ended properly
        tasks = {task for task, _ in self._running.values()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=within)
            for task in late:
                task.cancel()
            if late:
                _, deaf = await asyncio.wait(late, timeout=CANCEL_WITHIN)
                if deaf:
                    logger.error("%d handlers do not heed their cancellation and are abandoned", len(deaf))
        self._endpoints.close()

    def cancel(self, reply_channels: set[str]) -> None:
        """Nobody waits for these calls any more: end those that run here, and start none of them."""
        self._cancelled |= reply_channels
        # In the next tick every task that was made before this has begun, and so can end properly.
        self._loop.call_soon(self._cancel_running, reply_channels)
        self._loop.call_later(REMEMBER_CANCELLED, self._cancelled.difference_update, reply_channels)

    def _cancel_running(self, reply_channels: set[str]) -> None:
        for task, message in list(self._running.values()):
            if message.reply_channel in reply_channels:
                self._counters.cancelled += 1
                task.cancel()

    def _admitted(self, parsed: RequestFrame, frame: bytes, fence: int, now_ms: int) -> IncomingRequest | None:
        """The message in a frame at which something is to be looked at, None when it must not start."""
        message = parsed.message
        resurrected = parsed.fence and fence and parsed.fence != fence
        if resurrected and not self._resurrected_too:
            self._counters.fenced_frames += 1
            return None
        if self._replays is not None and self._may_have_run(self._replays, parsed, frame, now_ms):
            return None
        if self._cancelled and message.reply_channel in self._cancelled:
            self._counters.cancelled += 1
            return None
        if resurrected and message.reply_channel:
            self._resurrected.add(message.reply_channel)
        if now_ms >= parsed.expires or (message.deadline and now_ms >= message.deadline):
            self._counters.expired_messages += 1
            self._answer(message, error_codes.expired())
            return None
        if len(frame) > self._max_size:
            self._refuse(message, MessageTooLarge(len(frame), self._max_size))
            return None
        if self._codel is not None and parsed.sent and self._codel.sheds(now_ms - parsed.sent, now_ms):
            self._counters.shed_messages += 1
            self._answer(message, error_codes.refused(Overloaded(message.type, "its queue is standing")))
            return None
        return _flat(frame, parsed) if message.body is NO_BODY else message

    def _may_have_run(self, replays: Replays, parsed: RequestFrame, frame: bytes, now_ms: int) -> bool:
        """Whether a signed frame may be the copy of one that ran, whose caller an answer would mislead."""
        if now_ms >= parsed.expires:
            self._counters.expired_messages += 1
            return True
        verdict = replays.take(frame, parsed.expires, now_ms)
        if verdict != "new":
            self._counters.rejected_frames += 1
            full = f"{len(replays)} are remembered, and no more can be"
            why = full if verdict == "full" else "it is the copy of one that was taken before"
            logger.warning("a frame was dropped: %s", why)
        return verdict != "new"

    async def _handle(self, message: IncomingRequest) -> Outcome:
        origin, unique = self._origin(message.reply_channel)
        outcome: Outcome
        try:
            ready = self._ready(message, origin, unique)
            if isinstance(ready, OutgoingError):
                outcome = ready
            else:
                route, request, context = ready
                try:
                    result = await route.endpoint(request, context)
                    if not isinstance(result, route.reply):
                        raise _wrong_reply(route, result)
                    self._counters.handled += 1
                    outcome = OutgoingReply(REPLY, result)
                except asyncio.CancelledError as error:
                    if _is_cancelled():
                        raise
                    outcome = self._failed(message, context, error)  # what it awaited was cancelled, not the handler
                except Exception as error:  # noqa: BLE001 - whatever a handler raises, its caller gets an answer
                    outcome = self._failed(message, context, error)
            if self._resurrected and message.reply_channel:
                self._answer(message, outcome)
            elif message.reply_channel:
                self._reply(origin, unique, message, outcome)
            elif isinstance(outcome, OutgoingError):
                self._nobody_waits(message, outcome)
        except asyncio.CancelledError:
            self._answer(message, error_codes.stopped())
            raise
        finally:
            self._credit.release()
            self._running.pop(id(message), None)
        return outcome

    def _ready(
        self, message: IncomingRequest, origin: Origin, unique: str
    ) -> tuple[Route, Any, Context] | OutgoingError:
        """What is to be called with what, or why nothing is. Also makes the context the current one."""
        route = self._routes.get(message.type)
        if route is None:
            return error_codes.refused(UnknownOperation(message.type, self._known))
        context = Context(
            message.correlation_id or unique,
            message.headers or NO_HEADERS,
            message.deadline,
            message.caller or origin.caller,
            self._bus,
            not route.marks,
        )
        enter(context)
        try:
            if message.correlation_id or message.headers or message.caller:  # what else is in it, the bus has made
                check_received(context)
            request = route.decode(message.body)
        except InvalidRequest as error:
            return error_codes.refused(error)
        except UNDECODABLE as error:
            return error_codes.refused(error_codes.invalid(error))
        except Exception as error:
            logger.exception("reading a %r failed", message.type)
            return error_codes.refused(
                InvalidRequest(f"the request was refused by its own check: {type(error).__name__}")
            )
        if message.deadline and self._now_ms() >= message.deadline:
            return self._expired()
        return route, request, context

    def _answer(self, message: IncomingRequest, outcome: OutgoingReply | OutgoingError) -> None:
        """Reply, if that is wanted. What a replica resurrected may have run before: that it did not is never said."""
        if message.reply_channel in self._resurrected:
            self._resurrected.discard(message.reply_channel)
            if isinstance(outcome, OutgoingError) and outcome.executed == "no":
                outcome = msgspec.structs.replace(outcome, executed="maybe")
        self._replies.answer(message, outcome)

    def _nobody_waits(self, message: IncomingRequest, outcome: OutgoingError) -> None:
        """The log and the counter are all that will ever tell of this error."""
        self._counters.unanswered_errors += 1
        if outcome.code != "internal":  # which is logged already, with its traceback
            text = printable(f"{outcome.code}: {outcome.message}")
            logger.warning("%r was not handled: %s", message.type, text)

    def _refuse(self, message: IncomingRequest, error: MessageTooLarge) -> None:
        self._counters.rejected_frames += 1
        logger.warning("%r was refused: %s", message.type, error)
        self._answer(message, error_codes.refused(error))

    def _expired(self) -> OutgoingError:
        self._counters.expired_messages += 1
        return error_codes.expired()

    def _failed(self, message: IncomingRequest, context: Context, error: BaseException) -> OutgoingError:
        if not context.started:
            if isinstance(error, NotStarted):
                return self._expired()
            if isinstance(error, InvalidRequest | Overloaded | Unauthorized):
                return error_codes.refused(error)  # by middleware
        self._counters.handled += 1
        self._counters.failed += 1
        if not isinstance(error, RemoteError):
            logger.error("%r failed (correlation ID %r)", message.type, context.correlation_id, exc_info=error)
        return error_codes.failed(error)


def _wrong_reply(route: Route, result: Any) -> TypeError:
    return TypeError(f"{route.handler.name} returned a {type(result).__name__}, not a {route.reply.__name__}")


def _is_cancelled() -> bool:
    """Whether it is the running task that was cancelled."""
    task = asyncio.current_task()
    return task is None or bool(task.cancelling())


def _flat(frame: bytes, parsed: RequestFrame) -> IncomingRequest:
    """A message without a body is its own body: what a plain Channels consumer sends."""
    raw = decode_raw(frame, len(frame)).message
    return msgspec.structs.replace(parsed.message, body=raw)


def _task_factory(loop: asyncio.AbstractEventLoop) -> Callable[[Coroutine[Any, Any, Outcome]], asyncio.Task[Outcome]]:
    """Tasks begin at once where Python can do that."""
    if sys.version_info >= (3, 12):
        return partial(asyncio.Task, loop=loop, eager_start=True)
    return loop.create_task
