"""Receiving from a foreign layer: one message at a time, for one of the consumers that have credit.

All consumers of a channel in this process share one pump. Two receives of one process on one channel are trouble on
most layers: on some the second goes deaf when the first is cancelled, on others they get one message twice.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from ...protocol.codec import MalformedFrame
from ...protocol.credit import Budget
from ..layer import Sink
from .messages import Message, epoch_ms, frame_of

FIRST_DELAY = 0.05
LONGEST_DELAY = 2.0
CANCEL_WITHIN = 2.0

logger = logging.getLogger(__name__)


async def patiently(foreign: Any, channel: str) -> Message:
    """The next message, over failures of the layer. Cancelling is as safe as it is on that layer."""
    delay = FIRST_DELAY
    while True:
        try:
            message: Message = await foreign.receive(channel)
        except Exception as error:  # noqa: BLE001 - what a foreign layer raises when its server is away is its own
            logger.warning("cannot receive from %s, next attempt in %.2f s: %r", channel, delay, error)
        else:
            return message
        await asyncio.sleep(delay)
        delay = min(2 * delay, LONGEST_DELAY)


class Reader:
    """A consumer of a channel, from ``AdapterLayer.consume``. It is registered by being there."""

    def __init__(self, pump: Pump, sink: Sink, credit: Budget, worker_id: str, expiry_ms: int) -> None:
        self._pump, self._sink, self.credit, self.worker_id = pump, sink, credit, worker_id
        self._expiry_ms = expiry_ms
        # Messages are handled in the context that serves, not in that of whoever was the first to read the channel.
        self.context = contextvars.copy_context()
        self.step: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        credit.subscribe(pump.wake.set)

    @property
    def channel(self) -> str:
        return self._pump.channel

    @property
    def stopped(self) -> bool:
        return self._stopping is not None and self._stopping.done()

    async def ready(self) -> None:
        """At once."""

    async def stop(self) -> None:
        """See ``Consumer``: a receive that had its message delivers it, any other is cancelled."""
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._pump.remove(self))
        await asyncio.shield(self._stopping)

    def deliver(self, message: object) -> None:
        """Hand over a message, which credit was taken for."""
        try:
            frame = frame_of(message, "", epoch_ms() + self._expiry_ms)
        except MalformedFrame as error:
            logger.warning("a message from %s was dropped: %s", self.channel, error)
            self.credit.release()
            return
        self._sink([frame], 0)


class Pump:
    """Receives from one channel as long as it has readers, for each in turn."""

    def __init__(self, foreign: Any, channel: str, on_end: Callable[[], object]) -> None:
        self._foreign, self.channel, self._on_end = foreign, channel, on_end
        self.readers: deque[Reader] = deque()
        self.wake = asyncio.Event()
        self._runner = asyncio.get_running_loop().create_task(self._run(), name=f"receive from {channel}")

    def add(self, reader: Reader) -> None:
        self.readers.append(reader)
        self.wake.set()

    async def remove(self, reader: Reader) -> None:
        """Receive for it no more. Runs as a task of the reader, which nobody cancels."""
        self.readers.remove(reader)
        self.wake.set()
        tasks = [task for task in (reader.step, None if self.readers else self._runner) if task is not None]
        if reader.step is not None:
            reader.step.cancel()
        if tasks:
            _, deaf = await asyncio.wait(tasks, timeout=CANCEL_WITHIN)
            if deaf:
                logger.error("a receive from %s does not heed its cancellation and is abandoned", self.channel)

    async def _run(self) -> None:
        try:
            while self.readers:
                reader = self._next()
                if reader is None:
                    self.wake.clear()
                    await self.wake.wait()
                else:
                    await self._step(reader)
        finally:
            self._on_end()

    def _next(self) -> Reader | None:
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
            message = await patiently(self._foreign, self.channel)
        except asyncio.CancelledError:
            reader.credit.release()
            raise
        reader.deliver(message)


class Station:
    """What this process reads of one foreign layer, by event loop and channel."""

    _known: WeakKeyDictionary[Any, Station] = WeakKeyDictionary()  # noqa: RUF012
    _lock = Lock()

    def __init__(self) -> None:
        self._pumps: dict[tuple[asyncio.AbstractEventLoop, str], Pump] = {}

    @classmethod
    def of(cls, foreign: Any) -> Station:
        """The station of that layer, made on first use."""
        with cls._lock:
            return cls._known.setdefault(foreign, cls())

    def pump(self, foreign: Any, channel: str) -> Pump:
        """What receives from ``channel`` on the running loop."""
        key = (asyncio.get_running_loop(), channel)
        pump = self._pumps.get(key)
        if pump is None:
            pump = self._pumps[key] = Pump(foreign, channel, lambda: self._pumps.pop(key, None))
        return pump

    def workers(self, channel: str) -> int:
        """How many readers of the channel are registered as workers."""
        pumps = [pump for (_, name), pump in list(self._pumps.items()) if name == channel]
        return sum(bool(reader.worker_id) for pump in pumps for reader in pump.readers)
