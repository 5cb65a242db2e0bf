"""Time in which an event loop was running: a stopped process, a paused machine or a blocked loop does not count.

Who waits for the other side may count only time in which this side could have noticed an answer. A process that was
stopped for seconds finds the answer in its socket when it goes on, and must read the socket before it judges.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

WAKE_INTERVAL = 0.25
"""Seconds between two ticks. A standstill is known by a tick that comes late; four wake-ups a second cost nothing."""
LATE = 0.05
"""Seconds by which a tick may be late without a standstill: a busy loop is late by a few milliseconds."""
REMEMBERED = 32
"""Standstills that are remembered. Of many, the oldest are forgotten, and count as time in which the loop ran."""


class Standstills:
    """When a loop stood still, from the instants of its ticks. No clock: instants are given, in seconds."""

    __slots__ = ("_due", "_past", "_total")

    def __init__(self, now: float) -> None:
        # The next tick is late from this instant on.
        self._due = now + WAKE_INTERVAL + LATE
        # Beginning and end of each standstill, oldest first.
        self._past: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        # Seconds of all standstills that have ended.
        self._total = 0.0

    def tick(self, now: float) -> float:
        """Note that the loop runs.

        Returns:
            The seconds of the standstill that has just ended; 0 when there was none.
        """
        stood = max(0.0, now - self._due)
        if stood:
            self._past.append((self._due, now))
            self._total += stood
        self._due = now + WAKE_INTERVAL + LATE
        return stood

    def during(self, since: float, now: float) -> float:
        """How many of the seconds from ``since`` to ``now`` were standstills. ``now`` is the present instant."""
        stood = max(0.0, now - max(self._due, since))
        for began, ended in reversed(self._past):
            if ended <= since:
                break
            stood += ended - max(began, since)
        return stood

    def until(self, now: float) -> float:
        """All seconds of standstills until ``now``, the present instant."""
        return self._total + max(0.0, now - self._due)


class RunningTime:
    """The running time of one event loop. It is used on that loop only; ``of_running_loop`` returns it.

    It keeps no reference to the loop: the table of all loops holds it, and must not keep a closed loop from being
    collected. While nobody has called ``start``, no standstill is noticed, and all time counts.
    """

    def __init__(self) -> None:
        # How many have called ``start`` and not ``stop``.
        self._users = 0
        self._standstills: Standstills | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._on_resumed: list[Callable[[float], None]] = []

    def start(self) -> None:
        """Notice standstills from now on, until ``stop`` was called as often."""
        self._users += 1
        if self._users == 1:
            self._standstills = Standstills(asyncio.get_running_loop().time())
            self._timer = asyncio.get_running_loop().call_later(WAKE_INTERVAL, self._tick)

    def stop(self) -> None:
        """End what one ``start`` began."""
        self._users -= 1
        if self._users == 0 and self._timer is not None:
            self._timer.cancel()
            self._standstills = self._timer = None

    def subscribe(self, on_resumed: Callable[[float], None]) -> None:
        """Call ``on_resumed`` with the seconds of each standstill, as soon as it is over. It must not raise."""
        self._on_resumed.append(on_resumed)

    def unsubscribe(self, on_resumed: Callable[[float], None]) -> None:
        """End what ``subscribe`` began. Idempotent."""
        if on_resumed in self._on_resumed:
            self._on_resumed.remove(on_resumed)

    def time(self) -> float:
        """A clock, in seconds, that stands still while the loop does."""
        now = asyncio.get_running_loop().time()
        return now if self._standstills is None else now - self._standstills.until(now)

    def elapsed(self, since: float) -> float:
        """For how many seconds the loop has been running since an instant of its own clock."""
        now = asyncio.get_running_loop().time()
        return now - since - self.stood_still(since, now)

    def of_age_ms(self, age_ms: float) -> float:
        """How much of an age, which is reached now, the loop was running. Both in milliseconds."""
        return 1000 * self.elapsed(asyncio.get_running_loop().time() - age_ms / 1000)

    def stood_still(self, since: float, now: float) -> float:
        """How many of the seconds from ``since`` to ``now`` the loop stood still, by the clock of the loop."""
        return 0.0 if self._standstills is None else self._standstills.during(since, now)

    def stood_still_most_of(self, since: float) -> bool:
        """Whether the loop stood still for more than half of the time since an instant of its own clock."""
        now = asyncio.get_running_loop().time()
        return 2 * self.stood_still(since, now) > now - since

    def call_later(self, seconds: float, callback: Callable[[], object]) -> RunningTimer:
        """Call ``callback`` when the loop has been running for so long, and has read its sockets since."""
        return RunningTimer(self, seconds, callback)

    def after_reading(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` when the loop has read what its sockets hold now."""
        # The callbacks of one pass of the loop run before, or after, its sockets are read, depending on the loop.
        # Whatever runs two passes later runs after them.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, callback)

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WAKE_INTERVAL, self._tick)
        assert self._standstills is not None
        stood = self._standstills.tick(asyncio.get_running_loop().time())
        if stood:
            for on_resumed in list(self._on_resumed):
                on_resumed(stood)


class RunningTimer:
    """A timer of ``RunningTime.call_later``."""

    __slots__ = ("_callback", "_due", "_handle", "_running")

    def __init__(self, running: RunningTime, seconds: float, callback: Callable[[], object]) -> None:
        self._running = running
        self._due = running.time() + seconds
        # None once it was cancelled, or has ended.
        self._callback: Callable[[], object] | None = callback
        self._handle = asyncio.get_running_loop().call_later(seconds, self._look)

    def cancel(self) -> None:
        """Do not call the callback. Idempotent."""
        self._callback = None
        self._handle.cancel()

    def _look(self) -> None:
        left = self._due - self._running.time()
        if left > 0:
            self._handle = asyncio.get_running_loop().call_later(left, self._look)
        else:
            self._running.after_reading(self._end)

    def _end(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, RunningTime] = WeakKeyDictionary()
"""The running time of each event loop, so that all parts of a process agree on it."""


def of_running_loop() -> RunningTime:
    """The running time of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _of_loop.get(loop)
    if found is None:
        found = _of_loop[loop] = RunningTime()
    return found


@asynccontextmanager
async def timeout(seconds: float) -> AsyncIterator[None]:
    """``asyncio.timeout``, in running time.

    Raises:
        TimeoutError: the block was left because it took longer.

    Cancelling is safe.
    """
    loop, running = asyncio.get_running_loop(), of_running_loop()
    async with asyncio.timeout(None) as scope:
        timer = running.call_later(seconds, lambda: scope.reschedule(loop.time()))
        try:
            yield
        finally:
            timer.cancel()
