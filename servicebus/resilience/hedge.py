"""A second copy of a call that takes long, for operations whose contract says that they are idempotent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..api.middleware import CallNext, Invocation
from ..config import check_numbers, check_share, check_whole
from ..contract.request import idempotency_of, operation_of
from ..foundation.lru import LruTable
from .attempts import most_executed, time_left
from .budget import Budget
from .counters import HedgeCounters
from .latencies import Latencies

Copy = asyncio.Task[Any]


class Hedge:
    """Middleware of a bus: when no answer has come after a while, a second copy is sent, and the first value wins.

    Only calls of operations declared ``idempotent=True``. What is keyed is not hedged: its second copy would wait for
    the first one anyway. The copy that lost is cancelled, which withdraws its request or ends its handler. An error of
    one copy is raised when the other failed as well; an error before the second copy was sent is raised at once.

    Args:
        after: seconds; None for what 95 % of the calls of the operation stay within, once 20 have been seen.
        budget: second copies as a share of the calls that may have one. It starts empty.
        burst: second copies that can be saved up.
        operations: whose durations are remembered.
        clock: for tests.
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
        """Proceed, in two copies if need be. Cancelling is as safe as without it: both copies are cancelled."""
        if invocation.kind != "call" or idempotency_of(invocation.message) is not True:
            return await call_next(invocation)
        self.counters.calls += 1
        self._budget.earn()
        latencies = self._latencies.of((invocation.channel, operation_of(invocation.message)))
        after = latencies.usual if self._after is None else self._after
        started = self._clock()
        if after is None:
            reply = await call_next(invocation)
        else:
            reply = await self._hedged(invocation, call_next, started, after)
        latencies.note(self._clock() - started)
        return reply

    async def _hedged(self, invocation: Invocation, call_next: CallNext, started: float, after: float) -> Any:
        copies: list[Copy] = [_copy(call_next, invocation)]
        try:
            await asyncio.wait(copies, timeout=after)
            if not copies[0].done():
                self._send_second(copies, invocation, call_next, started)
            return await self._first_value(copies)
        finally:
            for copy in copies:
                copy.cancel()
            # They are awaited, so that none outlives the call. A second cancellation leaves them to end by themselves.
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
        """The value of the copy that has one first. Raises when none has."""
        waiting = set(copies)
        while waiting:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for number, copy in enumerate(copies):
                if copy.done() and not copy.cancelled() and copy.exception() is None:
                    self.counters.won += number
                    return copy.result()
        raise _failure(copies)


def _copy(call_next: CallNext, invocation: Invocation) -> Copy:
    task: Copy = asyncio.get_running_loop().create_task(_proceed(call_next, invocation))
    task.add_done_callback(_noticed)
    return task


async def _proceed(call_next: CallNext, invocation: Invocation) -> Any:
    return await call_next(invocation)


def _noticed(copy: Copy) -> None:
    """The error of the copy that lost is nobody's: asyncio need not complain that nobody asked for it."""
    if not copy.cancelled():
        copy.exception()


def _failure(copies: list[Copy]) -> BaseException:
    """The first error; but when one of the copies may have run, an error that says so."""
    errors = [asyncio.CancelledError() if copy.cancelled() else copy.exception() for copy in copies]
    worst, *rest = [error for error in errors if error is not None]
    for error in rest:
        if isinstance(worst, Exception) and isinstance(error, Exception):
            worst = most_executed(worst, error)
    return worst
