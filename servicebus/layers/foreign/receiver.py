"""Receiving from a foreign layer: one message at a time, for one of the consumers that have credit.

All consumers of a channel in one event loop share one pump. Two receives of one process on one channel go wrong on most
layers: on some the second never returns after the first was cancelled, on others both get the same message.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from ...foundation.repeated_log import RepeatedLog
from ...foundation.tasks import Once
from ...protocol.codec import MalformedFrame
from ...protocol.credit import Budget
from ..layer import Sink
from .messages import Message, frame_of
from .timing import ForeignTiming

logger = logging.getLogger(__name__)


async def receive_with_retry(foreign: Any, channel: str, timing: ForeignTiming) -> Message:
    """Return the next message of ``channel``. Failures of the layer are logged, and the receive is repeated.

    Cancelling is as safe as cancelling a ``receive`` of that layer: some layers lose a message then.
    """
    delay = timing.first_retry
    while True:
        try:
            message: Message = await foreign.receive(channel)
        except Exception as error:  # noqa: BLE001 - the error of a foreign layer without a server is of any type
            logger.warning("cannot receive from %s, next attempt in %.2f s: %r", channel, delay, error)
        else:
            return message
        await asyncio.sleep(delay)
        delay = min(2 * delay, timing.longest_retry)


class Reader:
    """A consumer of a channel, from ``ForeignLayer.consume``. See ``Consumer`` for the contract.

    A foreign layer registers nobody, so a reader counts as a worker, in this process alone, until ``deregister``.
    """

    def __init__(self, pump: Pump, sink: Sink, credit: Budget, worker_id: str, expires: Callable[[], int]) -> None:
        self._pump = pump
        self._sink = sink
        self.credit = credit
        self._log = RepeatedLog(logger)
        # The ID under which this reader counts as a worker; "" when it is not one, or has been deregistered.
        self.worker_id = worker_id
        # Returns the instant at which a message that comes now expires, in milliseconds since 1970.
        self._expires = expires
        # Messages are handled in the context that serves, not in that of the first reader of the channel.
        self.context = contextvars.copy_context()
        # The receive that runs for this reader, or the last one.
        self.step: asyncio.Task[None] | None = None
        self._stopping = Once(pump.remove)
        credit.subscribe(pump.wake)

    @property
    def channel(self) -> str:
        return self._pump.channel

    @property
    def stopped(self) -> bool:
        """Whether this reader has stopped, so that its sink gets nothing any more."""
        task = self._stopping.task
        return task is not None and task.done()

    def deregister(self) -> None:
        """Count as a worker no more."""
        self.worker_id = ""

    async def ready(self) -> None:
        """Return at once: a foreign layer connects when it is used. Cancelling is safe."""

    async def stop(self) -> None:
        """Stop receiving. A receive that has its message delivers it, any other is cancelled. Idempotent.

        Cancelling is safe: stopping goes on.
        """
        await self._stopping(self)

    def deliver(self, message: object) -> None:
        """Give the sink a message, for which credit was taken. What is not a message is logged and dropped."""
        try:
            frame = frame_of(message, "", self._expires())
        except MalformedFrame as error:
            self._log.warning("a message from %s was dropped: %s", self.channel, error)
            self.credit.release()
            return
        self._sink([frame], 0)


class Pump:
    """Receives from one channel on one event loop as long as it has readers, for each in turn."""

    def __init__(self, foreign: Any, channel: str, timing: ForeignTiming, on_end: Callable[[], object]) -> None:
        self._foreign = foreign
        self.channel = channel
        self._timing = timing
        self._on_end = on_end
        # The last one is the reader whose turn it was.
        self.readers: deque[Reader] = deque()
        # Set when a reader may have got credit, has come or has gone.
        self._changed = asyncio.Event()
        self._runner = asyncio.get_running_loop().create_task(self._run(), name=f"receive from {channel}")

    def add(self, reader: Reader) -> None:
        """Receive for ``reader`` too."""
        self.readers.append(reader)
        self._changed.set()

    def wake(self) -> None:
        """A reader has credit again."""
        self._changed.set()

    async def remove(self, reader: Reader) -> None:
        """Receive for ``reader`` no more. A pump without readers ends.

        Cancelling is not safe: the receive may go on. ``Reader.stop`` runs this as a task that is never cancelled.
        """
        self.readers.remove(reader)
        self._changed.set()
        tasks = [task for task in (reader.step, None if self.readers else self._runner) if task is not None]
        if reader.step is not None:
            reader.step.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._timing.cancel_within)
            if late:
                logger.error("a receive from %s ignores that it was cancelled: it is abandoned", self.channel)

    async def _run(self) -> None:
        try:
            while self.readers:
                reader = self._next()
                if reader is None:
                    self._changed.clear()
                    await self._changed.wait()
                else:
                    await self._step(reader)
        finally:
            self._on_end()

    def _next(self) -> Reader | None:
        """Return the next reader that has credit, None when no reader has."""
        for _ in range(len(self.readers)):
            self.readers.rotate(-1)
            if self.readers[-1].credit.available > 0:
                return self.readers[-1]
        return None

    async def _step(self, reader: Reader) -> None:
        loop = asyncio.get_running_loop()
        reader.step = step = loop.create_task(self._receive_for(reader), context=reader.context)
        try:
            await asyncio.wait([step])
        finally:
            step.cancel()

    async def _receive_for(self, reader: Reader) -> None:
        reader.credit.take(1)
        try:
            message = await receive_with_retry(self._foreign, self.channel, self._timing)
        except asyncio.CancelledError:
            reader.credit.release()
            raise
        reader.deliver(message)
