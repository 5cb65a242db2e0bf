"""What waits for the foreign layer: one sender for each channel, so that the order of its messages is kept.

The sender of a channel sends one message after the other, and ends with the last of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol

from channels.exceptions import ChannelFull as ForeignChannelFull

from ...errors import (
    ChannelFull,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    SendUnknown,
    ServiceBusError,
    Unavailable,
)
from ...protocol.codec import MalformedFrame
from ..delivery import Delivery
from .messages import (
    Letter,
    Message,
    epoch_ms,
    letter_of,
    not_encodable,
)

MOST_WAITING = 64 * 1024 * 1024
SENDS_AT_ONCE = 32
SEND_WITHIN = 5.0
CLOSE_WITHIN = 2.0
GROUP = "group:"
"""Starts what stands for a group; no channel can have such a name."""

_UNHOLDABLE = (TypeError, ValueError, OverflowError, RecursionError)


class Replies(Protocol):
    """Who takes care that a request's reply can be received."""

    async def redirect(self, delivery: Delivery, message: Message) -> Message:
        """The message as it is to leave. Cancelling is safe."""

    def expect(self, delivery: Delivery, awaited: bool) -> None:
        """The message has left, so that its reply is awaited; or nobody will read one."""


class Outbox:
    """Everything that one bus sends over one foreign layer."""

    def __init__(self, foreign: Any, replies: Replies) -> None:
        self._foreign, self._replies = foreign, replies
        self._waiting: set[Delivery] = set()
        self._lines: dict[str, deque[Letter]] = {}
        self._senders: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(SENDS_AT_ONCE)
        self._bytes = 0
        self._closed = False

    def push(self, delivery: Delivery) -> None:
        """Queue a delivery, or settle it with why not."""
        try:
            letter = letter_of(delivery)
        except MalformedFrame as error:
            delivery.settle(InvalidRequest(f"a channel layer cannot hold the message: {error}"))
            return
        refusal = self._refusal(letter)
        if refusal is not None:
            delivery.settle(refusal)
            return
        self._bytes += letter.size
        self._waiting.add(delivery)
        line = self._lines.get(letter.name)
        if line is None:
            line = self._lines[letter.name] = deque()
            sender = asyncio.get_running_loop().create_task(self._send_all(letter.name, line))
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)
        line.append(letter)

    def unpush(self, delivery: Delivery) -> bool:
        """Take a delivery back. False when it has left, or was never here."""
        if delivery not in self._waiting:
            return False
        self._waiting.remove(delivery)
        return True

    async def say(self, name: str, message: Message) -> None:
        """Send past the lines. Raises what the layer raises. Cancelling is safe: it may be sent."""
        async with self._room, asyncio.timeout(SEND_WITHIN):
            if name.startswith(GROUP):
                await self._foreign.group_send(name.removeprefix(GROUP), message)
            else:
                await self._foreign.send(name, message)

    async def close(self) -> None:
        """Send what waits, for a moment; refuse the rest. Cancelling is safe: what waits is sent or refused."""
        self._closed = True
        if self._senders:
            _, late = await asyncio.wait(self._senders, timeout=CLOSE_WITHIN)
            for sender in late:
                sender.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _refusal(self, letter: Letter) -> ServiceBusError | None:
        if self._closed:
            return Unavailable("the bus was closed before the message was sent")
        if self._bytes + letter.size > MOST_WAITING:
            return Overloaded(letter.delivery.channel, f"{self._bytes} bytes wait for the channel layer")
        return None

    async def _send_all(self, name: str, line: deque[Letter]) -> None:
        try:
            while line:
                letter = line.popleft()
                self._bytes -= letter.size
                if self.unpush(letter.delivery):
                    await self._send(letter)
        finally:
            del self._lines[name]
            self._bytes -= sum(letter.size for letter in line)
            for letter in line:
                if self.unpush(letter.delivery):
                    letter.delivery.settle(Unavailable("the bus was closed before the message was sent"))

    async def _send(self, letter: Letter) -> None:
        try:
            error = _lateness(letter) or await self._attempt(letter)
        except asyncio.CancelledError:
            self._replies.expect(letter.delivery, awaited=False)
            letter.delivery.settle(SendUnknown(letter.name, "the bus was closed"))
            raise
        self._replies.expect(letter.delivery, awaited=error is None or error.executed != "no")
        letter.delivery.settle(error)

    async def _attempt(self, letter: Letter) -> ServiceBusError | None:
        try:
            message = await self._replies.redirect(letter.delivery, letter.message)
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing has been sent
            return _caused(Unavailable(f"the channel layer gives no channel for the reply: {error!r}"), error)
        try:
            await self.say(letter.name, message)
        except ServiceBusError as error:
            return error
        except ForeignChannelFull as error:
            return _caused(ChannelFull(letter.name, self._capacity(letter.name)), error)
        except _UNHOLDABLE as error:
            if self._can_hold(letter.message):
                return _unknown(letter, error)
            await self._say_instead(letter)
            return _caused(InvalidRequest(f"the channel layer cannot hold the message: {error}"), error)
        except Exception as error:  # noqa: BLE001 - whatever a foreign layer raises, its sender gets a typed error
            return _unknown(letter, error)
        return None

    async def _say_instead(self, letter: Letter) -> None:
        """A caller whose reply cannot be held is told so, once; when that fails too, its deadline tells it."""
        message = not_encodable(letter.message)
        if message is not None:
            try:
                await self.say(letter.name, message)
            except Exception:  # noqa: BLE001 - the delivery says already that the reply was lost
                return

    def _can_hold(self, message: Message) -> bool:
        """Whether the layer can serialize it. A layer that cannot say so may have sent it."""
        serialize = getattr(self._foreign, "serialize", None)
        if serialize is None:
            return True
        try:
            serialize(message)
        except _UNHOLDABLE:
            return False
        return True

    def _capacity(self, name: str) -> int:
        capacity_of = getattr(self._foreign, "get_capacity", None)
        return capacity_of(name) if capacity_of is not None else getattr(self._foreign, "capacity", 0)


def _lateness(letter: Letter) -> ServiceBusError | None:
    now_ms = epoch_ms()
    if now_ms < letter.expires:
        return None
    if now_ms >= letter.message.get("deadline", now_ms + 1):
        return DeadlineExceeded(letter.delivery.channel, letter.message["type"], "queued")
    return Unavailable(f"a message to {letter.name!r} had expired before the channel layer could take it")


def _unknown(letter: Letter, error: Exception) -> ServiceBusError:
    return _caused(SendUnknown(letter.name, f"the channel layer failed ({type(error).__name__}: {error})"), error)


def _caused(error: ServiceBusError, cause: BaseException) -> ServiceBusError:
    error.__cause__ = cause
    return error
