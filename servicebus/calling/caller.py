"""Calls: their requests are sent, their replies awaited, and each of them ends exactly once."""

from __future__ import annotations

import asyncio
from typing import Any

from ..api.context import current
from ..api.wire import Wire
from ..contract.names import checked_channel
from ..contract.request import operation_on
from ..errors import DeadlineExceeded, Overloaded, SendUnknown, Unavailable
from ..inbox import Inbox
from ..layers.layer import Layer
from ..protocol.addresses import checked_address
from ..protocol.call_life import Event, State
from ..protocol.correlation import Calls
from ..protocol.deadline import deadline_of
from ..protocol.envelope import OutgoingRequest, ReplyFrame
from .cancellation import AbandonedCalls
from .deadlines import Deadlines
from .deliveries import Call
from .encoding import encode_request, headers_of
from .ids import PROCESS_CHARACTERS, call_ids, random_name


class Caller:
    """Makes the calls of one bus. It belongs to the event loop that made it.

    Attributes:
        inbox: the list of this process, where the replies arrive.
        fresh_id: a new call ID; also the correlation ID of a message that has none.
    """

    def __init__(self, layer: Layer, wire: Wire, service: str, max_pending: int) -> None:
        self._layer = layer
        self._wire = wire
        self.inbox = Inbox(layer, wire, service, random_name(PROCESS_CHARACTERS), self._take_replies)
        self.fresh_id = call_ids().__next__
        # The inbox's names, which every call needs.
        self._reply_prefix = self.inbox.reply_prefix
        self._local_prefix = self.inbox.local_prefix
        self._loop = asyncio.get_running_loop()
        # The correlation table: calls that wait for their reply.
        self._calls: Calls[Call] = Calls(max_pending)
        self._deadlines = Deadlines(layer, self._calls, wire.timing.verdict_within)
        self._abandoned = AbandonedCalls(layer, wire, self.inbox)
        self._closed = False
        # The inbox is read and the bus is not being closed.
        self._is_ready = False

    @property
    def pending(self) -> int:
        """How many calls wait for a reply."""
        return len(self._calls)

    @property
    def is_idle(self) -> bool:
        """No request is being withdrawn and no worker is being told of a cancelled call."""
        return not len(self._deadlines.tasks) and not len(self._abandoned.tasks)

    def start(self, channel: str, request: Any, timeout: float) -> Call:
        """Send a request and enter its call in the correlation table.

        The call's future gets the reply or the error. The coroutine that awaits it hands an error or a cancellation to
        ``forget``.

        Raises:
            ConfigurationError: a bad channel name or timeout.
            InvalidRequest, MessageTooLarge: the request cannot be encoded, or is too large.
            DeadlineExceeded: the handler that makes the call has no time left.
            Overloaded, Unavailable: too many calls are pending, or the bus is being closed.
        """
        layer, wire = self._layer, self._wire
        context, now_ms, operation = current(), layer.now_ms(), operation_on(channel, request)
        deadline_ms = deadline_of(now_ms, timeout, context.deadline_ms if context else 0)
        if deadline_ms <= now_ms or (context and context.abandoned):
            raise DeadlineExceeded(checked_channel(channel), operation, "queued")
        target, local = checked_address(channel)
        if not self._is_ready or self._calls.full:
            self._prepare(channel)
        unique = self.fresh_id()
        reply_channel = self._reply_prefix + unique
        if context is None:
            outgoing = OutgoingRequest(operation, request, reply_channel, deadline_ms)
        else:
            outgoing = OutgoingRequest(
                operation, request, reply_channel, deadline_ms, context.correlation_id, headers_of(context)
            )
        expires = now_ms + wire.expiry_ms
        if deadline_ms < expires:  # min() costs more
            expires = deadline_ms
        frame = encode_request(layer, wire, target, local, now_ms, expires, outgoing)
        # The server's clock may be set; what this process promised its caller is kept on the loop's own clock.
        due_ms = int(self._loop.time() * 1000) + deadline_ms - now_ms
        call = Call(self._local_prefix + unique, target, operation, frame, due_ms, self._loop.create_future())
        if self._calls.add(call):
            self._deadlines.watch()
        wire.counters.calls += 1
        if wire.observer is not None:
            wire.observer.sent(call)
        try:
            layer.push(call)
        except BaseException:
            self._calls.pop(call.id)  # nobody will wait for it
            raise
        return call

    def forget(self, call: Call) -> None:
        """Take the end of a call that got no reply: it failed, or its waiter was cancelled."""
        self._calls.pop(call.id)
        if call.future.cancelled():
            self._abandoned.add(call)

    async def close(self) -> None:
        """Refuse new calls, fail pending ones and stop reading replies.

        Cancelling is safe: the calls have failed already; withdrawals under way are cancelled.
        """
        self._closed, self._is_ready = True, False
        for call in self._calls.drain():
            call.advance(Event.REFUSED, SendUnknown(call.channel, "the bus was closed"))
        await self.inbox.close()
        await self._deadlines.close()
        await self._abandoned.close()

    def check_open(self) -> None:
        """Refuse what comes while the bus is being closed.

        Raises:
            Unavailable: it is.
        """
        if self._closed:
            raise Unavailable("the bus is being closed", retryable=False)

    def _prepare(self, channel: str) -> None:
        """Do what the first call needs, and refuse a call that cannot be made."""
        self.check_open()
        self.inbox.read()
        self._is_ready = True
        if self._calls.full:
            raise Overloaded(channel, f"{self._calls.limit} calls are pending in this process")

    def _take_replies(self, replies: list[ReplyFrame]) -> None:
        pop, pending, done = self._calls.pop, State.PENDING, State.DONE
        for reply in replies:
            call = pop(reply.local)
            if call is not None and call.state is pending and not call.future.done():
                # The ordinary reply, by the table: (PENDING, REPLY or NOT_STARTED) completes the call.
                call.state = done
                call.future.set_result(reply.message)
            else:
                self._take_late_reply(call, reply)

    def _take_late_reply(self, call: Call | None, reply: ReplyFrame) -> None:
        """A reply to a call that has ended, was never made, or is past its deadline."""
        event = Event.NOT_STARTED if reply.message.executed == "no" else Event.REPLY
        if call is None or call.future.done() or event is Event.REPLY:
            self._wire.counters.late_replies += 1
        if call is not None:
            call.advance(event, reply.message)
