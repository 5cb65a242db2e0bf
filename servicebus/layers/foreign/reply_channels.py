"""Where replies are received: on a new channel for each call.

A foreign layer lets a process receive only on process-local channels that the layer named, with ``new_channel``. So a
request whose reply channel lies in an inbox of this process leaves with such a name in its place. The channel is
received on until the reply is there, or until a moment after the deadline. No name is used twice, so that a late reply,
or a second one, reaches no other call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ...foundation.repeated_log import RepeatedLog
from ...foundation.tasks import Once, TaskSet
from ...protocol.addresses import caller_of, split_address
from ...protocol.codec import MalformedFrame
from ...protocol.credit import Budget
from ..delivery import Delivery
from ..layer import Sink
from .messages import Message, frame_of
from .receiver import receive_with_retry
from .timing import ForeignTiming

WAKE_UP = {"type": "servicebus.over"}
"""The message that ends a receive. This process sends it to itself, and never hands it to a caller."""

SendNow = Callable[[str, Message], Awaitable[None]]
"""Sends a message to a channel at once. It raises what the layer raises."""
Deliver = Callable[[Message], None]

logger = logging.getLogger(__name__)


class ReplyChannel:
    """One channel for one reply. ``run`` receives the reply; ``end`` and ``shorten`` make ``run`` give up."""

    def __init__(
        self, foreign: Any, name: str, send_now: SendNow, deliver: Deliver, timing: ForeignTiming, seconds: float
    ) -> None:
        self._foreign = foreign
        self.name = name
        self._send_now = send_now
        self._deliver = deliver
        self._timing = timing
        self._loop = asyncio.get_running_loop()
        # Done when the reply is not wanted any more.
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._timer = self._loop.call_later(seconds, self.end)

    def end(self) -> None:
        """Give up now: the reply is not wanted any more."""
        self._timer.cancel()
        if not self._ended.done():
            self._ended.set_result(None)

    def shorten(self, seconds: float) -> None:
        """Give up in ``seconds``, unless that was to happen sooner."""
        instant = self._loop.time() + seconds
        if not self._ended.done() and instant < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(instant, self.end)

    async def run(self) -> None:
        """Receive the reply and deliver it, or end without a reply. Cancelling is safe."""
        receiving = self._loop.create_task(receive_with_retry(self._foreign, self.name, self._timing))
        either: list[asyncio.Future[Any]] = [receiving, self._ended]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                await self._wake_up(receiving)
        finally:
            self.end()
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
        if not receiving.cancelled() and receiving.result() != WAKE_UP:
            self._deliver(receiving.result())

    async def _wake_up(self, receiving: asyncio.Task[Message]) -> None:
        """End a receive with a message. Some layers lose a message, maybe of another call, when one is cancelled."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self._timing.wake_up_within):
                await self._send_now(self.name, WAKE_UP)
                await asyncio.wait([receiving])


class Inbox:
    """The consumer of a process's inbox. Replies that come for the inbox on other channels go to its sink."""

    def __init__(self, name: str, sink: Sink, credit: Budget) -> None:
        self.name = name
        self._sink = sink
        self._credit = credit
        # Set as soon as stopping begins, so that no further reply is received.
        self.stopped = False
        # The channel for the reply to each request, from before the request leaves until its reply has come.
        self._log = RepeatedLog(logger)
        self._channels: dict[Delivery, ReplyChannel] = {}
        self._receiving = TaskSet()
        self._stopping = Once(self._receiving.join)

    def add(self, delivery: Delivery, channel: ReplyChannel) -> None:
        """Receive the reply to ``delivery`` on ``channel``, once ``expect`` has been called."""
        self._channels[delivery] = channel

    def expect(self, delivery: Delivery, awaited: bool) -> None:
        """Receive the reply to a request that has left, or forget one that has not."""
        channel = self._channels.get(delivery)
        if channel is None:
            return
        if not awaited or self.stopped:
            channel.end()
            del self._channels[delivery]
            return
        task = self._receiving.spawn(channel.run())
        task.add_done_callback(lambda _: self._channels.pop(delivery, None))

    def shorten(self, delivery: Delivery, seconds: float) -> None:
        """Wait for the reply to ``delivery`` no longer than ``seconds``."""
        if delivery in self._channels:
            self._channels[delivery].shorten(seconds)

    def deliver(self, local: str, message: Message, expires: int) -> None:
        """Give the sink a reply. What is not a message is logged and dropped."""
        try:
            frame = frame_of(message, local, expires)
        except MalformedFrame as error:
            self._log.warning("a reply was dropped: %s", error)
            return
        self._credit.take(1)
        self._sink([frame], 0)

    async def ready(self) -> None:
        """Return at once: each reply has a channel of its own. Cancelling is safe."""

    async def stop(self) -> None:
        """Receive no reply any more. Idempotent. Cancelling is safe: stopping goes on."""
        self.stopped = True
        for channel in self._channels.values():
            channel.end()
        await self._stopping()


class ReplyChannels:
    """The reply channels of one bus, and the inboxes that they stand in for."""

    def __init__(
        self, foreign: Any, send_now: SendNow, expiry: float, timing: ForeignTiming, now_ms: Callable[[], int]
    ) -> None:
        self._foreign = foreign
        self._send_now = send_now
        # Seconds that a reply may lie unread, and that a request without a deadline waits for one.
        self._expiry = expiry
        self._timing = timing
        self._now_ms = now_ms
        self._inboxes: dict[str, Inbox] = {}

    def consume(self, inbox: str, sink: Sink, credit: Budget) -> Inbox:
        """Give ``sink`` the replies to the requests that name a channel of ``inbox``."""
        self._inboxes[inbox] = Inbox(inbox, sink, credit)
        return self._inboxes[inbox]

    async def opened(self, deliver: Deliver, seconds: float) -> ReplyChannel:
        """Return a new channel, which gives up after ``seconds``. Cancelling is safe.

        Raises:
            Exception: what the layer raises.
        """
        # With the layer's prefix for all: channels_redis lets the consumers of one prefix starve those of another.
        name = await self._foreign.new_channel()
        return ReplyChannel(self._foreign, name, self._send_now, deliver, self._timing, seconds)

    async def redirect(self, delivery: Delivery, message: Message) -> Message:
        """Return a request with a reply channel of the layer's, any other message as it is. Cancelling is safe.

        Raises:
            Exception: what the layer raises.
        """
        reply_channel = message.get("reply_channel", "")
        target, local = split_address(reply_channel)
        inbox = self._inboxes.get(target)
        if inbox is None or inbox.stopped:
            return message
        unique = local.partition("!")[2]
        seconds = (message["deadline"] - self._now_ms()) / 1000 if "deadline" in message else self._expiry

        def deliver(reply: Message) -> None:
            inbox.deliver(local, reply, self._now_ms() + int(self._expiry * 1000))

        opened = await self.opened(deliver, seconds + self._timing.verdict_within)
        inbox.add(delivery, opened)
        # A worker reads both values off the name of our own reply channels. This name does not hold them.
        named = {"caller": caller_of(reply_channel), "correlation_id": unique}
        return {**named, **message, "reply_channel": opened.name}

    def expect(self, delivery: Delivery, awaited: bool) -> None:
        """Receive the reply to a request that has left. Not ``awaited``: it has not left, so no reply will come."""
        for inbox in self._inboxes.values():
            inbox.expect(delivery, awaited)

    def shorten(self, delivery: Delivery) -> None:
        """The call has ended. Receive for a moment more: its worker may report that it was not started."""
        for inbox in self._inboxes.values():
            inbox.shorten(delivery, self._timing.verdict_within)
