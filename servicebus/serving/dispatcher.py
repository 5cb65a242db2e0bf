"""From frames to handlers: the loop that a worker spends its life in.

A frame is decoded, admitted or refused, and handled in a task of its own. Every frame gives its credit back once, every
request that wants a reply gets one, and a message past its deadline never starts.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from ..api.bus import Bus
from ..api.handler import Handler
from ..api.service import Service
from ..api.wire import Wire
from ..errors import LARGEST_MESSAGE
from ..foundation import running_time
from ..foundation.tasks import cancel_all
from ..layers.layer import Layer
from ..protocol.admission import CONSEQUENCES, Admission, Decision, with_body
from ..protocol.codec import MalformedFrame, decode_request
from ..protocol.codel import Codel
from ..protocol.credit import Credit
from ..protocol.envelope import NO_BODY, IncomingRequest, RequestFrame
from .adaptive import Handle, Outcome, with_adaptive_concurrency
from .endpoints import Endpoints
from .handling import STOPPED, Handling, Running
from .replies import Replies

REMEMBER_CANCELLED = 2.0
"""Seconds that cancelled calls are remembered: their request may still be on its way to this worker."""

logger = logging.getLogger(__name__)


class Dispatcher:
    """Handles the messages of one channel with one table of handlers, on one event loop."""

    def __init__(
        self,
        channel: str,
        service: Service,
        handlers: Mapping[str, Handler],
        bus: Bus,
        wire: Wire,
        layer: Layer,
        credit: Credit,
    ) -> None:
        self._credit = credit
        self._wire = wire
        self._now_ms = layer.now_ms
        self._decode = wire.codec.reading(channel, decode_request)
        self._loop = asyncio.get_running_loop()
        self._make_task = _task_factory(self._loop)
        self._endpoints = Endpoints(service, handlers, layer.now_ms, credit)
        self._admission = Admission(
            max_size=wire.max_message_size,
            keep_resurrected=wire.on_failover == "keep",
            replays=wire.codec.replays,
            codel=Codel(service.shedding) if service.shedding else None,
            running_ms=running_time.of_running_loop().of_age_ms,
        )
        self._replies = Replies(layer, wire, self._admission.resurrected)
        # Handlers that have not ended, by the id() of their message. Each removes itself when it ends.
        self._running: Running = {}
        resurrected = self._admission.resurrected
        self._handling = Handling(
            channel, self._endpoints.routes, bus, wire, layer, credit, self._replies, resurrected, self._running
        )
        self._run: Handle = self._handling.handle
        if service.adaptive:
            self._run = with_adaptive_concurrency(service.adaptive, channel, credit, self._run)

    def deliver(self, frames: list[bytes], fence: int) -> None:
        """The layer's sink: start what may start, answer what may not. It does not raise."""
        now_ms, largest = self._now_ms(), self._wire.max_message_size
        decode, run, admission = self._decode, self._run, self._admission
        inspect_always = admission.inspects_all or bool(admission.cancelled)
        for frame in frames:
            message: IncomingRequest | None = None
            try:
                parsed = decode(frame, LARGEST_MESSAGE)
                message = parsed.message
                # An ordinary message is admitted without a look at the rules: none of them speaks against it.
                in_time = now_ms < parsed.expires and now_ms < (message.deadline or parsed.expires)
                is_ordinary = in_time and parsed.fence == fence and message.body is not NO_BODY
                if not is_ordinary or inspect_always or len(frame) > largest:
                    message = self._admit(parsed, frame, fence, now_ms)
            except MalformedFrame as error:
                message = None
                self._wire.counters.rejected_frames += 1
                self._replies.log.warning("a frame was dropped: %s", error)
            except Exception:
                # The frames behind this one were popped too, and must not be lost with it.
                message = None
                self._wire.counters.rejected_frames += 1
                logger.exception("a frame was dropped")
            if message is None:
                self._credit.release()
                continue
            task = self._make_task(run(message))
            if not task.done():
                self._running[id(message)] = task, message

    async def finish(self, within: float) -> None:
        """Wait for the running handlers; cancel those that take longer, and answer their callers with WorkerLost.

        Args:
            within: seconds that handlers may take.

        Cancelling is safe: the handlers go on.
        """
        await asyncio.sleep(0)  # what was delivered in this tick starts, so that it can be ended properly
        tasks = {task for task, _ in self._running.values()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=within)
            if late and await cancel_all(late):
                self._abandon()
        self._endpoints.close()

    def _abandon(self) -> None:
        """Answer the callers of handlers that ignore their cancellation. What these return later goes nowhere."""
        logger.error("%d handlers ignore their cancellation and are abandoned", len(self._running))
        for key, (_, message) in list(self._running.items()):
            self._handling.abandoned.add(key)
            self._replies.answer(message, STOPPED)

    def cancel(self, reply_channels: set[str]) -> None:
        """End the handlers of cancelled calls that run here, and start none of those calls."""
        remembered = self._admission.remember_cancelled(reply_channels)
        # In the next tick every task that was made before this has begun, and so can end properly.
        self._loop.call_soon(self._cancel_running, reply_channels)
        self._loop.call_later(REMEMBER_CANCELLED, self._admission.cancelled.difference_update, remembered)

    def _cancel_running(self, reply_channels: set[str]) -> None:
        for task, message in list(self._running.values()):
            # A message without a reply channel is no call, whatever a notice names.
            if message.reply_channel and message.reply_channel in reply_channels:
                self._wire.counters.cancelled += 1
                task.cancel()

    def _admit(self, parsed: RequestFrame, frame: bytes, fence: int, now_ms: int) -> IncomingRequest | None:
        """Do what admission decides about a frame. Returns the message when it starts, None otherwise."""
        message, decision = parsed.message, self._admission.decide(parsed, frame, fence, now_ms)
        if decision is Decision.START:
            return with_body(frame, message)
        consequence, counters = CONSEQUENCES[decision], self._wire.counters
        setattr(counters, consequence.counter, getattr(counters, consequence.counter) + 1)
        if consequence.is_logged:
            self._replies.log.warning("a %r was dropped: %s", message.type, decision.value)
        answer = self._admission.answer(decision, message, len(frame))
        if answer is not None:
            self._replies.answer(message, answer)
        return None


def _task_factory(loop: asyncio.AbstractEventLoop) -> Callable[[Coroutine[Any, Any, Outcome]], asyncio.Task[Outcome]]:
    """Tasks begin at once where Python can do that."""
    if sys.version_info >= (3, 12):
        return partial(asyncio.Task, loop=loop, eager_start=True)
    return loop.create_task
