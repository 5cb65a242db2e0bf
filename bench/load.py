"""Load: a closed loop keeps a number of calls in flight, an open loop sends at a rate whatever becomes of them.

A closed loop measures throughput. It cannot measure latency under load, because a slow answer delays the next call and
so hides the calls that would have suffered too. An open loop can: every latency counts from the instant at which its
call was meant to be sent, also when the process was late in sending it.
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

MOST_PENDING = 20_000
OVERTIME = 5.0
SHORTEST = 0.0001
AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one load: ``shed`` are calls that were not sent because too many were pending."""

    calls: int
    failed: int
    shed: int
    elapsed: float
    latencies: array[float]

    def report(self) -> dict[str, Any]:
        done = {"calls": self.calls, "failed": self.failed, "shed": self.shed, "elapsed_s": self.elapsed}
        done["calls_per_second"] = self.calls / self.elapsed if self.elapsed else 0.0
        return done | histogram.summary(histogram.of_seconds(self.latencies))


async def closed_loop(
    call: Call, body: str, in_flight: int, *, seconds: float = float("inf"), calls: float = float("inf")
) -> Outcome:
    """``in_flight`` callers, each with one call at a time, until ``seconds`` have passed or ``calls`` have begun.

    Raises whatever a call raises: a closed loop with failures in it measures nothing. Cancelling is safe.
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
    call: Call, body: str, rate: float, seconds: float, *, arrivals: Arrivals = "poisson", seed: int = 0
) -> Outcome:
    """Calls at ``rate`` a second for ``seconds``, then at most five seconds more for those that are still out.

    Calls that fail, and calls not sent because 20,000 were pending, are counted and have no latency. For the main
    thread only, and one at a time: it uses the alarm of the process. Cancelling is safe: what is pending is cancelled.
    """
    sender = _OpenLoop(call, body)
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
    """When to send, in seconds from the start: evenly, or as many independent callers would."""
    chance = random.Random(seed)
    evenly = (number / rate for number in count(1))
    independently = accumulate(chance.expovariate(rate) for _ in repeat(None))
    return takewhile(lambda instant: instant < seconds, evenly if arrivals == "constant" else independently)


@contextmanager
def _alarm() -> Iterator[Callable[[float], Awaitable[None]]]:
    """Waiting until an instant of the performance counter, to some microseconds.

    The timers of an event loop have a millisecond, and spinning would take the processor from what is measured.
    """
    loop, rung = asyncio.get_running_loop(), asyncio.Event()

    async def until(instant: float) -> None:
        ahead = instant - time.perf_counter()
        rung.clear()
        signal.setitimer(signal.ITIMER_REAL, max(ahead, SHORTEST))
        await rung.wait()

    loop.add_signal_handler(signal.SIGALRM, rung.set)
    try:
        yield until
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        loop.remove_signal_handler(signal.SIGALRM)


class _OpenLoop:
    def __init__(self, call: Call, body: str) -> None:
        self._call, self._body = call, body
        self._tasks: set[asyncio.Task[None]] = set()
        self.latencies = histogram.samples()
        self.failed = self.shed = 0

    async def send(self, instants: Iterator[float], until: Callable[[float], Awaitable[None]]) -> None:
        """Start each call at its instant, and those that are overdue at once."""
        started = time.perf_counter()
        for number, instant in enumerate(instants):
            due = started + instant
            if due > time.perf_counter():
                await until(due)
            elif number % AT_ONCE == 0:
                await asyncio.sleep(0)  # far behind: what was sent must still be heard
            self._start(due)

    def _start(self, due: float) -> None:
        if len(self._tasks) >= MOST_PENDING:
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
        except Exception:  # noqa: BLE001 - whatever a system under load answers instead of a reply is a failure
            self.failed += 1
        else:
            self.latencies.append(time.perf_counter() - due)
