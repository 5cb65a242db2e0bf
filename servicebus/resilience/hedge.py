"""Hedging: a second copy of a call that takes long, for operations that their contract declares idempotent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..api.middleware import CallNext, Invocation
from ..config import check_numbers, check_share, check_whole
from ..contract.request import idempotency_of, operation_of
from ..foundation import running_time
from ..foundation.lru import LruTable
from .attempts import furthest, time_left
from .budget import Budget
from .counters import HedgeCounters
from .latencies import Latencies

Copy = asyncio.Task[Any]


class Hedge:
    """Middleware of a bus: when no answer has come after some time, a second copy is sent, and the first value is used.

    Only calls of operations declared ``idempotent=True`` are hedged. An operation declared "keyed" is not, because the
    service would let the second copy wait for the first. The other copy is cancelled, which withdraws its request or
    ends its handler. An error is raised at once when it comes before the second copy was sent, else when both copies
    have failed.

    Args:
        after: seconds until the second copy; None for the time within which 95 % of the operation's calls end, known
            after 20 calls.
        budget: second copies as a share of the calls that may have one. It starts empty.
        burst: second copies that can be saved up.
        operations: operations whose durations are remembered.
        clock: seconds of a monotonic clock; tests give their own.

    Raises:
        ConfigurationError: a number is out of range. The text names the argument.
    """

    def __init__(
        self,
        after: float | None = None,
        budget: float = 0.1,
        *,
        burst: int = 10,
        operations: int = 1000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if after is not None:
            check_numbers(after=after)
        check_whole(burst=burst, operations=operations)
        check_share(budget=budget)
        self.counters = HedgeCounters()
        self._after, self._clock = after, clock
        self._budget = Budget(budget, burst)
        self._latencies: LruTable[tuple[str, str], Latencies] = LruTable(operations, Latencies)

    async def __call__(self, invocation: Invocation, call_next: CallNext) -> Any:
        """Send a call, in two copies if it takes long.

        Cancelling is as safe as without this policy: it cancels both copies.
        """
        if invocation.kind != "call" or idempotency_of(invocation.message) is not True:
            return await call_next(invocation)
        self.counters.calls += 1
        self._budget.earn()
        latencies = self._latencies.of((invocation.channel, operation_of(invocation.message)))
        after = latencies.percentile if self._after is None else self._after
        started = self._clock()
        if after is None:
            reply = await call_next(invocation)
        else:
            reply = await self._hedged(invocation, call_next, started, after)
        latencies.record(self._clock() - started)
        return reply

    async def _hedged(self, invocation: Invocation, call_next: CallNext, started: float, after: float) -> Any:
        copies: list[Copy] = [_copy(call_next, invocation)]
        try:
            with contextlib.suppress(TimeoutError):
                async with running_time.timeout(after):
                    await asyncio.wait(copies)
            if not copies[0].done():
                self._send_second(copies, invocation, call_next, started)
            return await self._first_value(copies)
        finally:
            for copy in copies:
                copy.cancel()
            # Awaited, so that no copy outlives the call. After a second cancellation the copies end by themselves.
            if any(not copy.done() for copy in copies):
                await asyncio.wait(copies)

    def _send_second(self, copies: list[Copy], invocation: Invocation, call_next: CallNext, started: float) -> None:
        left = time_left(invocation, self._clock() - started)
        if left <= 0:
            return
        if not self._budget.spend():
            self.counters.over_budget += 1
            return
        self.counters.hedged += 1
        copies.append(_copy(call_next, replace(invocation, timeout=left)))

    async def _first_value(self, copies: list[Copy]) -> Any:
        """Return the first value. Raise the error when every copy failed."""
        waiting = set(copies)
        while waiting:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for number, copy in enumerate(copies):
                if copy.done() and not copy.cancelled() and copy.exception() is None:
                    self.counters.won += number
                    return copy.result()
        raise _failure(copies)


def _copy(call_next: CallNext, invocation: Invocation) -> Copy:
    task: Copy = asyncio.get_running_loop().create_task(_run(call_next, invocation))
    task.add_done_callback(_take_error)
    return task


async def _run(call_next: CallNext, invocation: Invocation) -> Any:
    return await call_next(invocation)


def _take_error(copy: Copy) -> None:
    """Read a copy's error, so that asyncio does not log the error of the copy that is not used."""
    if not copy.cancelled():
        copy.exception()


def _failure(copies: list[Copy]) -> BaseException:
    """Return the error to raise: of the copy that came furthest, the first when both came equally far."""
    errors = [asyncio.CancelledError() if copy.cancelled() else copy.exception() for copy in copies]
    worst, *rest = [error for error in errors if error is not None]
    for error in rest:
        if isinstance(worst, Exception) and isinstance(error, Exception):
            worst = furthest(worst, error)
    return worst
