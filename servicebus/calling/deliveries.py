"""What a caller gives to the layer: calls, one-way messages, and words to other processes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

import msgspec

from ..errors import (
    DeadlineExceeded,
    ServiceBusError,
    Stage,
    private_copy,
)
from ..layers.delivery import PLAIN, TO_WORKERS, Options

logger = logging.getLogger(__name__)


class Call(msgspec.Struct, eq=False):
    """One pending call: the delivery that the layer settles, and the future that its caller waits for.

    ``deadline_ms`` is on the loop's clock, that of the correlation table.
    """

    id: str
    channel: str
    operation: str
    frame: bytes
    deadline_ms: int
    future: asyncio.Future[Any]
    overdue: bool = False
    options: ClassVar[Options] = TO_WORKERS

    def settle(self, error: ServiceBusError | None) -> None:
        if error is not None:
            self.fail(private_copy(error))

    def expire(self, stage: Stage) -> None:
        self.fail(DeadlineExceeded(self.channel, self.operation, stage))

    def fail(self, error: ServiceBusError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class OneWayDelivery:
    """One message that wants no reply: ``future`` is done when the layer has taken it, or failed with why not."""

    __slots__ = ("channel", "frame", "future")
    options = PLAIN

    def __init__(self, channel: str, frame: bytes, future: asyncio.Future[None]) -> None:
        self.channel, self.frame, self.future = channel, frame, future

    def settle(self, error: ServiceBusError | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(private_copy(error))


class Word:
    """What a process is told that need not know, so that nobody waits for what became of it."""

    __slots__ = ("channel", "frame")
    options = PLAIN

    def __init__(self, channel: str, frame: bytes) -> None:
        self.channel, self.frame = channel, frame

    def settle(self, error: ServiceBusError | None) -> None:
        if error is not None:
            logger.info("a worker was not told who went away: %s", error)
