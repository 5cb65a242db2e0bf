"""``MemoryConsumer``: moves messages of one channel of a hub into a sink."""

from __future__ import annotations

import asyncio
import contextvars

from ...protocol.credit import Budget
from ..layer import Sink
from .hub import Hub


class MemoryConsumer:
    """Reads one channel of a hub on the loop that made it. See ``Consumer`` for the contract of each method."""

    def __init__(self, hub: Hub, channel: str, sink: Sink, credit: Budget, worker_id: str) -> None:
        self._hub = hub
        self._channel = channel
        self._sink = sink
        self._credit = credit
        # The ID under which this consumer counts as a worker; "" when it is not one, or has been deregistered.
        self._worker_id = worker_id
        self._loop = asyncio.get_running_loop()
        # Messages are handled in the context that serves, not in that of the sender, as on every other layer.
        self._context = contextvars.copy_context()
        # Whether ``_pump`` runs in the next tick of the loop.
        self._scheduled = False
        self.stopped = False
        credit.subscribe(self.wake)
        self.wake()

    @property
    def worker_id(self) -> str:
        return "" if self._loop.is_closed() else self._worker_id

    def deregister(self) -> None:
        self._worker_id = ""

    def wake(self) -> None:
        """Look for messages in the next tick. Only in the thread of this consumer's loop."""
        if not self._scheduled and not self.stopped:
            self._scheduled = True
            self._loop.call_soon(self._pump, context=self._context)

    def wake_from(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is self._loop:
            self.wake()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.wake, context=self._context)

    def _pump(self) -> None:
        self._scheduled = False
        if self.stopped:
            return
        asked = self._credit.available
        frames = self._hub.take(self._channel, asked)
        if frames:
            self._credit.take(len(frames))
            self._sink(frames, 0)
            if len(frames) == asked and self._credit.available:
                self.wake()  # more may lie there: credit may grow while a batch is handed over

    async def ready(self) -> None:
        """Return at once: a consumer reads from the moment it is made. Cancelling is safe."""

    async def stop(self) -> None:
        """Stop at once: every message that was taken has been given to the sink. Cancelling is safe."""
        self.stopped = True
        self._hub.discard(self._channel, self)
