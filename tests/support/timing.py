"""Time in tests: a scaled unit, and waiting with a bound."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from servicebus.config import Timing

MS = 0.001 * float(os.environ.get("SERVICEBUS_TEST_TIME_FACTOR", "1"))
"""A millisecond; longer on a machine so slow that SERVICEBUS_TEST_TIME_FACTOR says so."""


LONG = 30_000 * MS
"""Seconds that a test waits for what has to come: far more than a busy machine needs, so that only faults fail it."""

PROGRAM_WITHIN = 120_000 * MS
"""Seconds that a program which a test starts may take to its end: on a busy machine the imports alone take many."""


async def eventually(true: Callable[[], bool], within: float = LONG) -> float:
    """Wait until ``true()``; how long that took, in seconds. Fails when it takes longer than ``within`` seconds."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < within, f"not so within {within:.1f} s"
        await asyncio.sleep(2 * MS)
    return time.monotonic() - started


def eventually_sync(true: Callable[[], bool], within: float = LONG, every: float = 5 * MS) -> float:
    """The same for tests without an event loop, which looks after each ``every`` seconds."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < within, f"not so within {within:.1f} s"
        time.sleep(every)
    return time.monotonic() - started


def stand_still(seconds: float) -> None:
    """Let the event loop of the caller stand still, as a process that was stopped does."""
    time.sleep(seconds)


class Stopwatch:
    """``with Stopwatch() as watch: ...`` and then ``watch.seconds``."""

    seconds = 0.0

    def __enter__(self) -> Stopwatch:
        self._started = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.monotonic() - self._started


class Lag:
    """How late the event loop of the running test ever was: what a busy machine adds to every figure."""

    EVERY = 0.005

    def __init__(self) -> None:
        self.worst = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.worst = 0.0
        self._wait(asyncio.get_running_loop())

    def stop(self) -> None:
        self.worst = 0.0
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self.EVERY, self._woken, loop, loop.time() + self.EVERY)

    def _woken(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self.worst = max(self.worst, loop.time() - due)
        self._wait(loop)


LAG = Lag()
"""Of the running test, when that is asynchronous."""

HOPS = 4
"""Steps of the event loop between a cause and what a test measures, most of the time."""
OTHERS_TAKE = 0.5
"""Seconds that other processes, the servers first of all, may need in addition while the machine has too much to do."""


def is_busy() -> bool:
    """Whether more processes want to run than the machine has cores, now or during the last minute."""
    loads = Path("/proc/loadavg").read_text().split()
    return max(float(loads[0]), int(loads[3].partition("/")[0])) > (os.cpu_count() or 1)


def allowed(seconds: float) -> float:
    """An upper bound that holds on a quiet machine, and what the present load of the machine may add to it."""
    return seconds + HOPS * LAG.worst + (OTHERS_TAKE if is_busy() else 0.0)


PATIENT = Timing(max_outage=20.0, ask_within=10.0)
"""Senders wait out an outage, and for the answers about a topology, for as long as a busy machine may take."""
