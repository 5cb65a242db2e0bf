"""The deadlines of pending calls: one timer for all of them, and the withdrawal of requests that came too late."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..foundation import running_time
from ..foundation.tasks import TaskSet
from ..layers.layer import Layer
from ..protocol.call_life import Event
from ..protocol.correlation import Calls
from .deliveries import Call
from .withdrawal import withdraw

CATCH_UP = 0.05
"""Seconds after a standstill of this process in which replies that came meanwhile are taken: one or two round trips to
the server. The deadline passed while the process could do nothing."""


class Deadlines:
    """Ends the calls of a correlation table at their deadlines. It belongs to one event loop."""

    def __init__(self, layer: Layer, calls: Calls[Call], verdict_within: float) -> None:
        self._layer = layer
        self._calls = calls
        self._verdict_within = verdict_within
        self._loop = asyncio.get_running_loop()
        self.tasks = TaskSet()
        # The next look at the table, and the instant on the loop's clock that it is set to.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_ms = 0
        # What judges others by time must not count time in which this process stood still.
        self._running = running_time.of_running_loop()
        self._running.start()
        self._closed = False

    def watch(self) -> None:
        """Set the timer to the earliest deadline in the table. Called when that may have changed."""
        due_ms = self._calls.next_due_ms
        if due_ms is None or (self._timer is not None and self._timer_due_ms <= due_ms):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due_ms = due_ms
        self._timer = self._loop.call_later(max(0, due_ms - self._now_ms()) / 1000, self._look)

    async def close(self) -> None:
        """Stop the timer and wait for withdrawals under way. Cancelling is safe: the withdrawals are cancelled too."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._closed:
            self._closed = True
            self._running.stop()
        await self.tasks.join()

    def _now_ms(self) -> int:
        return int(self._loop.time() * 1000)

    def _look(self) -> None:
        self._timer = None
        # A process that stood still finds replies in its sockets, and on the server: the pop that was outstanding may
        # have ended without one, so that it takes a round trip to hear of them.
        if self._running.stood_still(self._timer_due_ms / 1000, self._loop.time()):
            self._timer = self._loop.call_later(CATCH_UP, self._end_overdue)
        else:
            self._running.after_reading(self._end_overdue)

    def _end_overdue(self) -> None:
        if self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        calls = self._calls.expired(self._now_ms())
        if calls:
            self.tasks.spawn(self._expire(calls))
        self.watch()

    async def _expire(self, calls: list[Call]) -> None:
        """Thousands may be due at once: they are withdrawn together and share one wait for their workers' answers."""
        verdict_due = self._loop.time() + self._verdict_within
        for call in calls:
            call.advance(Event.DEADLINE)
        # Calls that a worker has: it may still say that it did not start them.
        dispatched: list[Call] = []

        def end_dispatched() -> None:
            for call in dispatched:
                call.advance(Event.NOT_WITHDRAWN)
            dispatched.clear()

        def settle(part: Sequence[Call], withdrawn: set[int]) -> None:
            for call in part:
                if id(call) in withdrawn:
                    call.advance(Event.WITHDRAWN)
                else:
                    dispatched.append(call)
            if self._loop.time() >= verdict_due:
                end_dispatched()

        try:
            await withdraw(self._layer, calls, settle)
            if dispatched:
                await asyncio.sleep(verdict_due - self._loop.time())
        finally:
            for call in calls:
                call.advance(Event.NOT_WITHDRAWN)
