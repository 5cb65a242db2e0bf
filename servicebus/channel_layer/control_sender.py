"""Sends control messages to the inboxes of processes. I/O thread only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ..errors import ServiceBusError
from ..layers.delivery import PLAIN, Options
from ..protocol.codec import MAX_FRAME, encode_frame
from ..protocol.control_messages import ControlMessage
from .shard import Shard

Opened = Callable[[str], Awaitable[Shard]]
"""The server that a channel, inbox or group lives on, connected. It is ``Shards.opened``."""

SendControl = Callable[[str, ControlMessage], Awaitable[None]]
"""Sends a control message to an inbox. It is ``ControlSender.send``."""

logger = logging.getLogger(__name__)


class InternalDelivery:
    """A frame that the layer itself sends; ``outcome`` ends with its error, or with None when the server took it."""

    __slots__ = ("channel", "frame", "options", "outcome", "place")

    def __init__(self, channel: str, frame: bytes, options: Options) -> None:
        self.channel = channel
        self.frame = frame
        self.options = options
        self.place = 0
        self.outcome: asyncio.Future[ServiceBusError | None] = asyncio.get_running_loop().create_future()

    def settle(self, error: ServiceBusError | None) -> None:
        if not self.outcome.done():
            self.outcome.set_result(error)


class ControlSender:
    """Sends control messages.

    Args:
        opened: finds the server of an inbox.
        expiry: seconds that a control message may lie unread.
    """

    def __init__(self, opened: Opened, expiry: float) -> None:
        self._opened = opened
        self._expiry_ms = int(expiry * 1000)

    async def send(self, inbox: str, message: ControlMessage) -> None:
        """Send ``message`` and wait until the server has it.

        Cancelling is safe: the message may or may not be sent.

        Raises:
            Unavailable: the message was not sent.
            SendUnknown: the message may have been sent.
        """
        shard = await self._opened(inbox)
        expires = shard.now_ms() + self._expiry_ms
        frame = encode_frame(shard.fence_of(inbox), expires, message.type, message, MAX_FRAME)
        delivery = InternalDelivery(inbox, frame, PLAIN)
        shard.push(delivery)
        error = await delivery.outcome
        if error is not None:
            raise error


async def log_failure(work: Callable[[], Awaitable[None]]) -> None:
    """Await ``work()``, and log its error: what the server knows of groups is set right later. Cancelling ends both."""
    try:
        await work()
    except ServiceBusError as error:
        logger.info("the server's knowledge of the groups is late: %s", error)
