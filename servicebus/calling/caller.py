"""The caller's side: pending calls, the one reply channel of the process, and every call's deadline.

A call ends in exactly one value or one error. At its deadline the request is withdrawn: when that succeeds it was never
started; when it does not, the worker has it, and gets a moment to say that it came too late. One that is cancelled is
withdrawn too; if a worker has it by then, the workers are told that nobody waits any more.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
from collections.abc import Callable
from typing import Any

from ..api.context import Context
from ..errors import (
    LARGEST_MESSAGE,
    InvalidRequest,
    Overloaded,
    SendUnknown,
    ServiceBusError,
    Unavailable,
)
from ..layers.layer import Consumer, Layer
from ..protocol.addresses import (
    checked_address,
    inbox_mark,
    reply_prefix,
    split_address,
)
from ..protocol.bundles import unbundled
from ..protocol.codec import (
    MAX_FRAME,
    Codec,
    MalformedFrame,
    decode_cancellation,
    decode_reply,
)
from ..protocol.correlation import Calls
from ..protocol.credit import Credit
from ..protocol.envelope import CANCEL, Cancellation, OutgoingRequest
from ..telemetry import Counters
from .deliveries import Call, OneWayDelivery, Word

REPLIES_AT_ONCE = 32
"""Elements of the inbox that are taken at once, each of them a reply or a bundle: the loop stands for no longer."""
WITHDRAW_WITHIN = 0.04
# Deadlines are kept in slots of 8 ms: together with them this leaves nobody waiting for 20 ms more than he wanted to.
VERDICT_WITHIN = 0.01
TOLD_WITHIN = 1.0
TOLD_AT_ONCE = 1000
PROCESS_CHARACTERS, ID_CHARACTERS = 22, 11
IDS_AT_ONCE = 256

Cancelled = Callable[[set[str]], None]
"""Takes the reply channels of calls that nobody waits for any more."""

logger = logging.getLogger(__name__)


class Caller:
    """Everything that one bus sends. It belongs to the event loop that made it."""

    def __init__(
        self,
        layer: Layer,
        service: str,
        counters: Counters,
        codec: Codec,
        *,
        expiry: float,
        max_size: int,
        max_pending: int,
    ) -> None:
        self._layer, self._service, self._counters = layer, service, counters
        self.now_ms = layer.now_ms
        self._expiry_ms, self._max_size = int(expiry * 1000), max_size
        self._reply_prefix = reply_prefix(service, inbox_mark(service) + _random_name(PROCESS_CHARACTERS))
        self._inbox, self._local_prefix = split_address(self._reply_prefix)
        self._encode_frame, self._encode_sent = codec.encode_frame, codec.encode_sent
        self._decode = codec.reading(self._inbox, decode_reply)
        self._loop = asyncio.get_running_loop()
        self._calls: Calls[Call] = Calls(max_pending)
        self._credit = Credit(REPLIES_AT_ONCE)
        self._consumer: Consumer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_ms = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._abandoned: list[Call] = []
        self._closed = False
        self._ids: list[str] = []
        self.on_cancelled: Cancelled = lambda _: None

    @property
    def pending(self) -> int:
        return len(self._calls)

    def start(
        self, channel: str, operation: str, body: Any, now_ms: int, deadline_ms: int, context: Context | None
    ) -> Call:
        """Push a request and register its call. Raises what is known at once; the rest comes from the call's future.

        Whoever awaits that future gets the reply, or an error or cancellation, which it hands to ``over``.
        """
        target, local = checked_address(channel)
        if self._consumer is None or self._closed or self._calls.full:
            self._prepare(channel)
        unique = self._ids.pop() if self._ids else self.fresh_id()
        if context is None:
            request = OutgoingRequest(operation, body, self._reply_prefix + unique, deadline_ms)
        else:
            correlation_id, headers = context.correlation_id, _plain(context)
            request = OutgoingRequest(
                operation, body, self._reply_prefix + unique, deadline_ms, correlation_id, headers
            )
        expires = now_ms + self._expiry_ms
        if deadline_ms < expires:
            expires = deadline_ms
        frame = self._encoded(target, local, now_ms, expires, request)
        # The server's clock may step; what this process promised its caller is kept on its own.
        due_ms = int(self._loop.time() * 1000) + deadline_ms - now_ms
        call = Call(self._local_prefix + unique, target, operation, frame, due_ms, self._loop.create_future())
        if self._calls.add(call):
            self._watch_deadlines()
        self._counters.calls += 1
        self._layer.push(call)
        return call

    def over(self, call: Call) -> None:
        """A call ended without a reply: it failed, or whoever waited for it was cancelled."""
        self._calls.pop(call.id)
        if call.future.cancelled():
            self._abandon(call)

    async def send(self, channel: str, operation: str, body: Any, context: Context | None) -> None:
        """Push a one-way message and wait until the layer has taken it. Cancelling is safe: it may be sent."""
        self._check_open()
        request = OutgoingRequest(
            operation,
            body,
            correlation_id=(context.correlation_id if context else "") or self.fresh_id(),
            headers=_plain(context),
            caller=self._service,
        )
        target, local = split_address(channel)
        now_ms = self._layer.now_ms()
        frame = self._encoded(target, local, now_ms, now_ms + self._expiry_ms, request)
        delivery = OneWayDelivery(target, frame, self._loop.create_future())
        self._layer.push(delivery)
        await delivery.future

    async def close(self) -> None:
        """Refuse what comes, fail what is pending and stop reading replies."""
        self._closed = True
        for call in self._calls.drain():
            call.fail(SendUnknown(call.channel, "the bus was closed"))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._consumer is not None:
            await self._consumer.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def listen(self) -> str:
        """Read the inbox of this process from now on, and return its name. Idempotent."""
        if self._consumer is None:
            self._consumer = self._layer.consume(self._inbox, self._deliver, self._credit)
        return self._inbox

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the bus is being closed", retryable=False)

    def _local_ms(self) -> int:
        return int(self._loop.time() * 1000)

    def _prepare(self, channel: str) -> None:
        """What comes before the first call, and what is in the way of one."""
        self._check_open()
        self.listen()
        if self._calls.full:
            raise Overloaded(channel, f"{self._calls.limit} calls are pending in this process")

    def fresh_id(self) -> str:
        """65 random bits: nobody who has seen others can guess it."""
        if not self._ids:
            random = _random_name(ID_CHARACTERS * IDS_AT_ONCE)
            self._ids = [random[at : at + ID_CHARACTERS] for at in range(0, len(random), ID_CHARACTERS)]
        return self._ids.pop()

    def _encoded(self, target: str, local: str, now_ms: int, expires: int, request: OutgoingRequest) -> bytes:
        try:
            fence = self._layer.fence_of(target)
            return self._encode_sent(fence, expires, local, request, now_ms, self._max_size, target)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidRequest(f"the message cannot be encoded as msgpack: {error}", "$") from error

    def _deliver(self, elements: list[bytes], fence: int) -> None:
        for frame in unbundled(elements):
            try:
                parsed = self._decode(frame, LARGEST_MESSAGE)
            except MalformedFrame as error:
                self._counters.rejected_frames += 1
                logger.warning("a reply was dropped: %s", error)
                continue
            call = self._calls.pop(parsed.local)
            if call is None and parsed.local == CANCEL:
                self._heed(frame)
            elif call is None or call.future.done():
                self._counters.late_replies += 1
            elif call.overdue and parsed.message.executed != "no":
                # Past the deadline only one word is still heard: that the request was not started.
                self._counters.late_replies += 1
                call.expire("dispatched")
            else:
                call.future.set_result(parsed.message)
        self._credit.release(len(elements))

    def _watch_deadlines(self) -> None:
        due_ms = self._calls.next_due_ms
        if due_ms is None or (self._timer is not None and self._timer_due_ms <= due_ms):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due_ms = due_ms
        self._timer = self._loop.call_later(max(0, due_ms - self._local_ms()) / 1000, self._deadlines_due)

    def _deadlines_due(self) -> None:
        self._timer = None
        calls = self._calls.expired(self._local_ms())
        if calls:
            self._own(self._expire(calls))
        self._watch_deadlines()

    async def _expire(self, calls: list[Call]) -> None:
        """Thousands may be due at once: they are withdrawn together, and share one wait for their worker's verdict."""
        due = self._loop.time()
        for call in calls:
            call.overdue = True
        withdrawn = await self._withdraw(calls)
        for call in withdrawn:
            call.expire("queued")
        if len(withdrawn) < len(calls):
            await asyncio.sleep(due + VERDICT_WITHIN - self._loop.time())
        for call in calls:
            call.expire("dispatched")

    async def _withdraw(self, calls: list[Call]) -> list[Call]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WITHDRAW_WITHIN):
                taken_back = set(map(id, await self._layer.withdraw(*calls)))
                return [call for call in calls if id(call) in taken_back]
        return []

    def _heed(self, frame: bytes) -> None:
        try:
            word = decode_cancellation(frame, MAX_FRAME).message
        except MalformedFrame as error:
            self._counters.rejected_frames += 1
            logger.warning("a word was dropped: %s", error)
        else:
            self.on_cancelled({word.prefix + unique for unique in word.calls})

    def _abandon(self, call: Call) -> None:
        """Nobody waits for it any more. Those of one tick are dealt with together."""
        self._abandoned.append(call)
        if len(self._abandoned) == 1:
            self._own(self._abandon_all())

    async def _abandon_all(self) -> None:
        await asyncio.sleep(0)
        calls, self._abandoned = self._abandoned, []
        withdrawn = set(map(id, await self._withdraw(calls)))
        dispatched: dict[str, list[str]] = {}
        for call in calls:
            if id(call) not in withdrawn:
                dispatched.setdefault(call.channel, []).append(call.id.removeprefix(self._local_prefix))
        with contextlib.suppress(TimeoutError, ServiceBusError):
            async with asyncio.timeout(TOLD_WITHIN):
                for channel, unique in dispatched.items():
                    await self._tell_workers(channel, unique)

    async def _tell_workers(self, channel: str, unique: list[str]) -> None:
        """One of them has these calls. Which one is known to nobody else."""
        inboxes = {worker.partition("@")[2] for worker in await self._layer.worker_ids(channel)} - {""}
        expires = self._layer.now_ms() + self._expiry_ms
        for at in range(0, len(unique), TOLD_AT_ONCE):
            word = Cancellation(CANCEL, self._reply_prefix, unique[at : at + TOLD_AT_ONCE])
            for inbox in inboxes:
                frame = self._encode_frame(self._layer.fence_of(inbox), expires, CANCEL, word, MAX_FRAME, inbox)
                self._layer.push(Word(inbox, frame))

    def _own(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _random_name(characters: int) -> str:
    """5.9 random bits for each character: letters and digits."""
    # "+" and "/" become letters: a name of letters and digits is recognized at a glance by who replies to it.
    return base64.b64encode(os.urandom(-(-characters * 3 // 4)), b"AB").decode()[:characters]


def _plain(context: Context | None) -> dict[str, str] | None:
    return dict(context.headers) if context and context.headers else None
