"""One message, from its envelope to its outcome: the handler runs, and its caller gets the reply or the error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from ..api.bus import Bus
from ..api.context import NO_HEADERS, STARTED, Context, Progress, check_received, enter
from ..api.wire import Wire
from ..errors import InvalidRequest, Overloaded, RemoteError, Unauthorized, UnknownOperation
from ..foundation.tasks import is_ended_by
from ..foundation.text import printable
from ..layers.layer import Layer
from ..protocol import error_codes
from ..protocol.codec import UNDECODABLE
from ..protocol.credit import Credit
from ..protocol.envelope import REPLY, IncomingRequest, OutgoingError, OutgoingReply
from .endpoints import ExpiredInQueue, Route
from .replies import Origin, Replies

Outcome = OutgoingReply | OutgoingError
Prepared = tuple[Route, Any, Context]
"""What is called: the route, the decoded request, the context."""
Running = dict[int, tuple[asyncio.Task[Outcome], IncomingRequest]]
"""The handlers that have not ended, by the ``id()`` of their message."""

STOPPED = error_codes.stopped()
"""The outcome of a handler that was ended before it was done."""
NOT_STARTED = error_codes.refused(Overloaded("", "the worker stopped before the handler started"))
"""The outcome of a message that was ended while it waited for a thread, or in middleware."""

logger = logging.getLogger(__name__)


class Handling:
    """Handles the messages of one channel that were admitted."""

    def __init__(
        self,
        channel: str,
        routes: Mapping[str, Route],
        bus: Bus,
        wire: Wire,
        layer: Layer,
        credit: Credit,
        replies: Replies,
        resurrected: set[str],
        running: Running,
    ) -> None:
        self._channel = channel
        self._routes = routes
        self._known = tuple(sorted(routes))
        self._bus = bus
        self._counters = wire.counters
        self._observer = wire.observer
        self._now_ms = layer.now_ms
        self._credit = credit
        self._replies = replies
        # Reply channels of messages that another primary had taken, and that may have run there.
        self._resurrected = resurrected
        self._running = running
        # The id() of each message whose handler ignored its cancellation: its caller has its answer already.
        self.abandoned: set[int] = set()

    async def handle(self, message: IncomingRequest) -> Outcome:
        """Run the handler of a message and answer its caller. The credit of the message is given back once.

        Cancelling is safe: the caller gets WorkerLost.
        """
        if self._observer is not None:
            self._observer.started(self._channel, message)
        origin, unique = self._replies.origin(message.reply_channel)
        context: Context | None = None
        outcome: Outcome = STOPPED
        try:
            prepared = self._prepare(message, origin, unique)
            if isinstance(prepared, OutgoingError):
                outcome = prepared
            else:
                route, request, context = prepared
                result = await route.endpoint(request, context)
                if not isinstance(result, route.reply_class):
                    raise _wrong_reply(route, result)
                self._counters.handled += 1
                outcome = OutgoingReply(REPLY, result)
        except BaseException as error:
            # Whatever a handler raises, its caller gets an answer, and nothing else ends: not even for sys.exit().
            if is_ended_by(error):
                if context is not None and not context.started:
                    outcome = NOT_STARTED
                raise
            outcome = self._failed(message, context, error)
        finally:
            self._answer(message, origin, unique, outcome)
            # Here and not in a done callback of the task, which would cost more.
            self._credit.release()
            self._running.pop(id(message), None)
        return outcome

    def _prepare(self, message: IncomingRequest, origin: Origin, unique: str) -> Prepared | OutgoingError:
        """What is to be called with what, or why nothing is called. Also makes the context the current one."""
        route = self._routes.get(message.type)
        if route is None:
            return error_codes.refused(UnknownOperation(message.type, self._known))
        context = Context(
            message.correlation_id or unique,
            message.headers or NO_HEADERS,
            message.deadline,
            message.caller or origin.caller,
            self._bus,
            Progress() if route.tracks_start else STARTED,
        )
        enter(context)
        try:
            if message.correlation_id or message.headers or message.caller:  # the rest was made by this bus
                check_received(context)
            request = route.decode(message.body)
        except InvalidRequest as error:
            return error_codes.refused(error)
        except UNDECODABLE as error:
            return error_codes.refused(error_codes.invalid(error))
        except BaseException:
            logger.exception("reading a %r failed", message.type)
            return error_codes.refused(InvalidRequest("the request's own check failed; the worker's log says why"))
        if message.deadline and self._now_ms() >= message.deadline:
            return self._expired()
        return route, request, context

    def _failed(self, message: IncomingRequest, context: Context | None, error: BaseException) -> OutgoingError:
        """What a caller gets for an exception that came out of a handler or of its middleware."""
        cause = error_codes.ungrouped(error)
        if context is not None and not context.started:
            if isinstance(cause, ExpiredInQueue):
                return self._expired()
            if isinstance(cause, InvalidRequest | Overloaded | Unauthorized):
                return error_codes.refused(cause)  # by middleware, before the handler
        self._counters.handled += 1
        self._counters.failed += 1
        if not isinstance(cause, RemoteError):
            correlation_id = context.correlation_id if context else message.correlation_id
            logger.error("%r failed (correlation ID %r)", message.type, correlation_id, exc_info=error)
        return error_codes.failed(cause)

    def _expired(self) -> OutgoingError:
        self._counters.expired_messages += 1
        return error_codes.expired()

    def _answer(self, message: IncomingRequest, origin: Origin, unique: str, outcome: Outcome) -> None:
        """Answer the caller, or log that there is none. It does not raise: the message's credit must be given back."""
        try:
            if self.abandoned and id(message) in self.abandoned:
                self.abandoned.discard(id(message))
            elif not message.reply_channel:
                if isinstance(outcome, OutgoingError):
                    self._log_unanswered(message, outcome)
            elif self._resurrected:
                self._replies.answer(message, outcome)
            else:
                self._replies.send(origin, unique, message, outcome)
        except Exception:
            self._counters.lost_replies += 1
            logger.exception("a reply was lost: answering a %r failed", message.type)
        if self._observer is not None:
            code = outcome.code if isinstance(outcome, OutgoingError) else ""
            self._observer.finished(self._channel, message, code)

    def _log_unanswered(self, message: IncomingRequest, outcome: OutgoingError) -> None:
        """Log and count an error that no caller gets. "internal" is logged already, with its traceback."""
        self._counters.unanswered_errors += 1
        if outcome.code != "internal":
            text = printable(f"{outcome.code}: {outcome.message}")
            self._replies.log.warning("%r was not handled: %s", message.type, text)


def _wrong_reply(route: Route, result: Any) -> TypeError:
    return TypeError(f"{route.handler.name} returned a {type(result).__name__}, not a {route.reply_class.__name__}")
