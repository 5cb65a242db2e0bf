"""Where replies are received: on a fresh channel for each call.

A foreign layer lets a process receive only on process-local channels that it named itself, with ``new_channel``. So a
request whose reply channel lies in an inbox that is read here leaves with a name of the layer's in its place, which is
received on until the reply is there, or until a moment after the deadline. No name is used twice: a late or doubled
reply meets nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ...protocol.addresses import caller_of, split_address
from ...protocol.codec import MalformedFrame
from ...protocol.credit import Budget
from ..delivery import Delivery
from ..layer import Sink
from .messages import Message, epoch_ms, frame_of
from .receiver import patiently

GRACE = 0.25
"""Seconds after its deadline in which a call may still hear that it was not started."""
LAST_WORD_WITHIN = 0.5
LAST_WORD = {"type": "servicebus.over"}

Say = Callable[[str, Message], Awaitable[None]]
Deliver = Callable[[Message], None]

logger = logging.getLogger(__name__)


class ReplyChannel:
    """One channel for one reply. ``run`` receives it; ``end`` and ``end_within`` make it give up."""

    def __init__(self, foreign: Any, name: str, say: Say, deliver: Deliver, within: float) -> None:
        self._foreign, self.name, self._say, self._deliver = foreign, name, say, deliver
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._timer = self._loop.call_later(within, self.end)

    def end(self) -> None:
        """Nobody waits any more."""
        self._timer.cancel()
        if not self._over.done():
            self._over.set_result(None)

    def end_within(self, seconds: float) -> None:
        """Give up then, unless it is to be sooner."""
        instant = self._loop.time() + seconds
        if not self._over.done() and instant < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(instant, self.end)

    async def run(self) -> None:
        """Receive the reply and deliver it, or end without. Cancelling is safe."""
        receiving = self._loop.create_task(patiently(self._foreign, self.name))
        either: list[asyncio.Future[Any]] = [receiving, self._over]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                await self._end_by_word(receiving)
        finally:
            self.end()
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
        if not receiving.cancelled() and receiving.result() != LAST_WORD:
            self._deliver(receiving.result())

    async def _end_by_word(self, receiving: asyncio.Task[Message]) -> None:
        """Some layers lose a message, maybe of another call, when a receive is cancelled. A message ends it as well."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(LAST_WORD_WITHIN):
                await self._say(self.name, LAST_WORD)
                await asyncio.wait([receiving])


class Inbox:
    """The consumer of a process's inbox: what is received for it on other channels goes to its sink."""

    def __init__(self, name: str, sink: Sink, credit: Budget) -> None:
        self.name, self._sink, self._credit = name, sink, credit
        self.channels: dict[Delivery, ReplyChannel] = {}
        self.receiving: set[asyncio.Task[None]] = set()
        self.stopped = False

    def deliver(self, local: str, message: Message, expires: int) -> None:
        """Hand a reply to the sink, unless it is none."""
        try:
            frame = frame_of(message, local, expires)
        except MalformedFrame as error:
            logger.warning("a reply was dropped: %s", error)
            return
        self._credit.take(1)
        self._sink([frame], 0)

    def received(self, delivery: Delivery, task: asyncio.Task[None]) -> None:
        """The reply to ``delivery`` has come, or will not."""
        self.receiving.discard(task)
        self.channels.pop(delivery, None)

    async def ready(self) -> None:
        """At once."""

    async def stop(self) -> None:
        """Wait for no reply any more. Idempotent; cancelling the wait is safe."""
        self.stopped = True
        for channel in self.channels.values():
            channel.end()
        if self.receiving:
            await asyncio.wait(self.receiving)


class ReplyChannels:
    """The reply channels of one bus, and the inboxes that they stand in for. ``say`` sends a word to a channel."""

    def __init__(self, foreign: Any, say: Say, expiry: float) -> None:
        self._foreign, self._say, self._expiry = foreign, say, expiry
        self._inboxes: dict[str, Inbox] = {}

    def consume(self, inbox: str, sink: Sink, credit: Budget) -> Inbox:
        """Let ``sink`` have the replies to the requests that name a channel of ``inbox``."""
        self._inboxes[inbox] = Inbox(inbox, sink, credit)
        return self._inboxes[inbox]

    async def opened(self, deliver: Deliver, seconds: float) -> ReplyChannel:
        """A fresh channel that ends after ``seconds``. Raises what the layer raises. Cancelling is safe."""
        # The layer's own prefix, which all consumers of the process have: channels_redis lets prefixes starve another.
        name = await self._foreign.new_channel()
        return ReplyChannel(self._foreign, name, self._say, deliver, seconds)

    async def redirect(self, delivery: Delivery, message: Message) -> Message:
        """The request with a reply channel of the layer's; any other message as it is. Cancelling is safe."""
        reply_channel = message.get("reply_channel", "")
        target, local = split_address(reply_channel)
        inbox = self._inboxes.get(target)
        if inbox is None or inbox.stopped:
            return message
        unique = local.partition("!")[2]
        seconds = (message["deadline"] - epoch_ms()) / 1000 if "deadline" in message else self._expiry

        def deliver(reply: Message) -> None:
            inbox.deliver(local, reply, epoch_ms() + int(self._expiry * 1000))

        inbox.channels[delivery] = opened = await self.opened(deliver, seconds + GRACE)
        # What a worker reads off the name of a reply channel has to be said in words now.
        said = {"caller": caller_of(reply_channel), "correlation_id": unique}
        return {**said, **message, "reply_channel": opened.name}

    def expect(self, delivery: Delivery, awaited: bool) -> None:
        """Receive the reply to a request that has left; or know that nobody will."""
        for inbox in self._inboxes.values():
            opened = inbox.channels.get(delivery)
            if opened is None:
                continue
            if not awaited or inbox.stopped:
                opened.end()
                del inbox.channels[delivery]
                continue
            task = asyncio.get_running_loop().create_task(opened.run())
            inbox.receiving.add(task)
            task.add_done_callback(partial(inbox.received, delivery))

    def hurry(self, delivery: Delivery) -> None:
        """The call is over, but for a last word on whether it was started."""
        for inbox in self._inboxes.values():
            if delivery in inbox.channels:
                inbox.channels[delivery].end_within(GRACE)
