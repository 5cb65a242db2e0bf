"""What waits for the foreign layer: one queue for each channel, so that the order of its messages is kept.

The sender of a channel is a task. It sends one message after the other, and ends with the last of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from ...errors import InvalidRequest, ServiceBusError
from ...foundation import running_time
from ...foundation.tasks import TaskSet
from ...protocol.codec import MalformedFrame
from ..delivery import Delivery
from .messages import Message, OutgoingMessage, outgoing_message, unencodable_reply
from .outcomes import (
    UNHOLDABLE,
    closed_before,
    closed_during,
    lateness,
    no_reply_channel,
    refusal,
    reply_may_come,
    send_failure,
)
from .timing import ForeignTiming

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Bytes of frames that wait for one layer: some seconds of traffic, and little beside the memory of a process."""
MAX_SENDS = 32
"""Sends that one bus has under way at once: most layers take one connection of a pool for each."""
GROUP = "group:"
"""Starts the name that stands for a whole group; no channel can have such a name."""


class Replies(Protocol):
    """Sees to it that the reply to a request can be received."""

    async def redirect(self, delivery: Delivery, message: Message) -> Message:
        """Return the message as it is to leave, with a reply channel of the layer in it.

        Cancelling is safe: a channel that was made is not used.
        """
        ...

    def expect(self, delivery: Delivery, awaited: bool) -> None:
        """Receive the reply to a request that has left. Not ``awaited``: it has not left, so no reply will come."""
        ...


class ForeignSender:
    """Sends single messages over a foreign layer, a bounded number at once and each in bounded time."""

    def __init__(self, foreign: Any, send_within: float) -> None:
        self._foreign = foreign
        self._send_within = send_within
        self._free = asyncio.Semaphore(MAX_SENDS)

    async def send_now(self, name: str, message: Message) -> None:
        """Send to a channel or a group, past the queues. Cancelling is safe: the message may or may not be sent.

        Raises:
            Exception: what the layer raises; TimeoutError when the layer hangs.
        """
        async with self._free, running_time.timeout(self._send_within):
            if name.startswith(GROUP):
                await self._foreign.group_send(name.removeprefix(GROUP), message)
            else:
                await self._foreign.send(name, message)

    def can_hold(self, message: Message) -> bool:
        """Return False when the layer certainly cannot serialize the message.

        A layer without ``serialize`` cannot tell, and may have sent the message.
        """
        serialize = getattr(self._foreign, "serialize", None)
        if serialize is None:
            return True
        try:
            serialize(message)
        except UNHOLDABLE:
            return False
        return True

    def capacity(self, name: str) -> int:
        """Return how many messages a channel holds; 0 when the layer does not tell."""
        capacity_of = getattr(self._foreign, "get_capacity", None)
        return capacity_of(name) if capacity_of is not None else getattr(self._foreign, "capacity", 0)


class Outbox:
    """The messages of one bus that wait for a foreign layer. Each delivery is settled once, or removed."""

    def __init__(
        self,
        sender: ForeignSender,
        replies: Replies,
        timing: ForeignTiming,
        now_ms: Callable[[], int],
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._sender = sender
        self._replies = replies
        self._close_within = timing.close_within
        self._now_ms = now_ms
        self._max_waiting_bytes = max_waiting_bytes
        # Deliveries that have not left and were not removed. A queue may still hold a message that was removed.
        self._waiting: set[Delivery] = set()
        # Messages by the full name of their channel, oldest first. Each queue has a task in ``_tasks``.
        self._queues: dict[str, deque[OutgoingMessage]] = {}
        self._tasks = TaskSet()
        # Bytes of all messages in ``_queues``.
        self._waiting_bytes = 0
        self._closed = False

    def push(self, delivery: Delivery) -> None:
        """Queue a delivery, or settle it with the reason why not."""
        try:
            outgoing = outgoing_message(delivery)
        except MalformedFrame as error:
            delivery.settle(InvalidRequest(f"a channel layer cannot hold the message: {error}"))
            return
        limit = self._max_waiting_bytes
        refused = refusal(outgoing, closed=self._closed, waiting=self._waiting_bytes, limit=limit)
        if refused is not None:
            delivery.settle(refused)
            return
        self._waiting_bytes += outgoing.size
        self._waiting.add(delivery)
        queue = self._queues.get(outgoing.name)
        if queue is None:
            queue = self._queues[outgoing.name] = deque()
            self._tasks.spawn(self._send_all(outgoing.name, queue))
        queue.append(outgoing)

    def remove(self, delivery: Delivery) -> bool:
        """Take a delivery back. Returns False when it has left, or was never here."""
        if delivery not in self._waiting:
            return False
        self._waiting.remove(delivery)
        return True

    async def close(self) -> None:
        """Send what waits, for ``close_within`` seconds; refuse the rest.

        Cancelling is safe: every message that waits is sent or refused.
        """
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with running_time.timeout(self._close_within):
                await self._tasks.join()

    async def _send_all(self, name: str, queue: deque[OutgoingMessage]) -> None:
        try:
            while queue:
                outgoing = queue.popleft()
                self._waiting_bytes -= outgoing.size
                if self.remove(outgoing.delivery):
                    await self._send(outgoing)
        finally:
            del self._queues[name]
            self._waiting_bytes -= sum(outgoing.size for outgoing in queue)
            for outgoing in queue:
                if self.remove(outgoing.delivery):
                    outgoing.delivery.settle(closed_before())

    async def _send(self, outgoing: OutgoingMessage) -> None:
        try:
            error = lateness(outgoing, self._now_ms()) or await self._attempt(outgoing)
        except asyncio.CancelledError:
            self._replies.expect(outgoing.delivery, awaited=False)
            outgoing.delivery.settle(closed_during(outgoing.name))
            raise
        self._replies.expect(outgoing.delivery, awaited=reply_may_come(error))
        outgoing.delivery.settle(error)

    async def _attempt(self, outgoing: OutgoingMessage) -> ServiceBusError | None:
        try:
            message = await self._replies.redirect(outgoing.delivery, outgoing.message)
        except Exception as error:  # noqa: BLE001 - whatever the layer raised, nothing has been sent
            return no_reply_channel(error)
        try:
            await self._sender.send_now(outgoing.name, message)
        except Exception as error:  # noqa: BLE001 - whatever a foreign layer raises, its sender gets a typed error
            holdable = not isinstance(error, UNHOLDABLE) or self._sender.can_hold(outgoing.message)
            if not holdable:
                await self._send_error_reply(outgoing)
            return send_failure(outgoing.name, error, capacity_of=self._sender.capacity, holdable=holdable)
        return None

    async def _send_error_reply(self, outgoing: OutgoingMessage) -> None:
        """Tell a caller that its reply cannot be held. One attempt: the caller has a deadline all the same."""
        message = unencodable_reply(outgoing.message)
        if message is not None:
            # Whatever this raises: the delivery's outcome states already that the reply was lost.
            with contextlib.suppress(Exception):
                await self._sender.send_now(outgoing.name, message)
