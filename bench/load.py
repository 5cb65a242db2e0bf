"""Load: a closed loop keeps a number of calls in flight, an open loop sends calls at a rate.

A closed loop measures throughput. It cannot measure latency under load: a slow answer delays the next call, and so
hides the calls that would have been slow too. An open loop can: it sends without waiting for answers, and every latency
counts from the instant at which its call was due, even if the process was late in sending it.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, count, repeat, takewhile
from typing import Any, Literal

from . import histogram

Call = Callable[[str], Awaitable[object]]
Arrivals = Literal["constant", "poisson"]

MAX_PENDING = 20_000
"""Calls of an open loop that may be pending: a bound on memory, far above what a system below saturation keeps."""
OVERTIME = 5.0
"""Seconds that an open loop waits for the last replies: the default timeout of a call."""
SHORTEST_ALARM = 0.0001
"""Seconds of the shortest alarm: 0 would switch the alarm off, and an instant that has passed needs one too."""
SENDS_PER_TURN = 64
"""Calls that a late open loop sends before it lets the event loop read replies."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one load. ``shed`` counts the calls that were not sent because too many were pending.

    ``elapsed`` and ``latencies`` are in seconds.
    """

    calls: int
    failed: int
    shed: int
    elapsed: float
    latencies: array[float]

    def report(self) -> dict[str, Any]:
        """Return the outcome as a report holds it."""
        done = {"calls": self.calls, "failed": self.failed, "shed": self.shed, "elapsed_s": self.elapsed}
        done["calls_per_second"] = self.calls / self.elapsed if self.elapsed else 0.0
        return done | histogram.summary(histogram.of_seconds(self.latencies))


async def closed_loop(
    call: Call, body: str, in_flight: int, *, seconds: float = float("inf"), calls: float = float("inf")
) -> Outcome:
    """Keep ``in_flight`` callers busy until ``seconds`` have passed or ``calls`` have begun.

    Each caller has one call at a time. Raises whatever a call raises: a closed loop with failures measures nothing.
    Cancelling is safe: every call is cancelled.
    """
    latencies = histogram.samples()
    note, now = latencies.append, time.perf_counter
    started = now()
    end, left = started + seconds, calls

    async def caller() -> None:
        nonlocal left
        before = now()
        while before < end and left > 0:
            left -= 1
            await call(body)
            after = now()
            note(after - before)
            before = after

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(caller())
    return Outcome(len(latencies), 0, 0, now() - started, latencies)


async def open_loop(
    call: Call,
    body: str,
    rate: float,
    seconds: float,
    *,
    arrivals: Arrivals = "poisson",
    seed: int = 0,
    max_pending: int = MAX_PENDING,
) -> Outcome:
    """Send calls at ``rate`` a second for ``seconds``, then wait up to OVERTIME seconds for the last replies.

    Calls that fail, and calls not sent because ``max_pending`` were pending, are counted and have no latency. Use it
    in the main thread only, and one at a time: it needs the alarm of the process. Cancelling is safe: pending calls
    are cancelled.
    """
    sender = _OpenLoop(call, body, max_pending)
    started = time.perf_counter()
    try:
        with _alarm() as until:
            await sender.send(instants(rate, seconds, arrivals, seed), until)
        await sender.finish(OVERTIME)
    finally:
        await sender.abandon()
    elapsed = time.perf_counter() - started
    return Outcome(len(sender.latencies), sender.failed, sender.shed, elapsed, sender.latencies)


def instants(rate: float, seconds: float, arrivals: Arrivals, seed: int) -> Iterator[float]:
    """Yield the instants at which to send, in seconds from the start.

    They are evenly spaced, or spaced as those of many independent callers.
    """
    chance = random.Random(seed)
    evenly = (number / rate for number in count(1))
    independently = accumulate(chance.expovariate(rate) for _ in repeat(None))
    return takewhile(lambda instant: instant < seconds, evenly if arrivals == "constant" else independently)


@contextmanager
def _alarm() -> Iterator[Callable[[float], Awaitable[None]]]:
    """Yield a function that waits until an instant of the performance counter, precise to some microseconds.

    The timers of an event loop are precise to a millisecond, and spinning would take the processor from the measured
    system.
    """
    loop, rung = asyncio.get_running_loop(), asyncio.Event()

    async def until(instant: float) -> None:
        ahead = instant - time.perf_counter()
        rung.clear()
        signal.setitimer(signal.ITIMER_REAL, max(ahead, SHORTEST_ALARM))
        await rung.wait()

    loop.add_signal_handler(signal.SIGALRM, rung.set)
    try:
        yield until
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        loop.remove_signal_handler(signal.SIGALRM)


class _OpenLoop:
    def __init__(self, call: Call, body: str, max_pending: int) -> None:
        self._call = call
        self._body = body
        self._max_pending = max_pending
        self._tasks: set[asyncio.Task[None]] = set()
        self.latencies = histogram.samples()
        self.failed = 0
        self.shed = 0
        """Calls that were not sent, because too many were pending."""

    async def send(self, instants: Iterator[float], until: Callable[[float], Awaitable[None]]) -> None:
        """Start each call at its instant, and overdue calls at once."""
        started = time.perf_counter()
        for number, instant in enumerate(instants):
            due = started + instant
            if due > time.perf_counter():
                await until(due)
            elif number % SENDS_PER_TURN == 0:
                await asyncio.sleep(0)  # far behind: the event loop must still read replies
            self._start(due)

    def _start(self, due: float) -> None:
        if len(self._tasks) >= self._max_pending:
            self.shed += 1
            return
        task = asyncio.create_task(self._one(due))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, within: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within)

    async def abandon(self) -> None:
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        self.failed += len(left)

    async def _one(self, due: float) -> None:
        try:
            await self._call(self._body)
        except Exception:  # noqa: BLE001 - a system under load may raise any error instead of a reply
            self.failed += 1
        else:
            self.latencies.append(time.perf_counter() - due)
