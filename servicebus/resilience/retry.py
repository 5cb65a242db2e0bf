"""Sending again what certainly did not run, within the call's time and a budget."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal

from ..api.middleware import CallNext, Invocation
from ..config import check_numbers, check_share, check_whole
from ..errors import ServiceBusError
from .attempts import most_executed, time_left
from .breaker import CircuitOpen
from .budget import Budget, Unlimited
from .counters import RetryCounters
from .idempotency import repeatable

GiveUp = Literal["final", "exhausted", "out_of_time"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to send again, as a decision over values.

    Attributes:
        attempts: the first one included.
        backoff: seconds; the longest pause before the first retry. It doubles with every further one.
        longest: seconds; the longest pause.
        least: seconds that an attempt must be left with.
    """

    attempts: int
    backoff: float
    longest: float
    least: float

    def verdict(
        self, error: ServiceBusError, may_repeat: bool, attempt: int, left: float, chance: float
    ) -> float | GiveUp:
        """How many seconds to pause after ``attempt`` (from 1) has failed, or why not to go on.

        ``left`` is what remains of the call's time, and ``chance`` a random number in [0, 1): the pause is any part of
        the longest one, so that those who failed together do not come back together.
        """
        if not _worth(error, may_repeat):
            return "final"
        if attempt >= self.attempts:
            return "exhausted"
        pause = chance * min(self.longest, self.backoff * 2.0 ** min(attempt - 1, 64))
        if isinstance(error, CircuitOpen):
            pause += error.retry_after
        return pause if left - pause >= self.least else "out_of_time"


def _worth(error: ServiceBusError, may_repeat: bool) -> bool:
    if error.executed == "no":
        return error.retryable
    return error.executed == "maybe" and may_repeat


class Retry:
    """Middleware of a bus. It sends again only what certainly did not run and may do better the next time.

    That is ``error.executed == "no" and error.retryable``: ChannelFull, NoWorkers, Overloaded and Unavailable. After a
    "maybe" only an operation is sent again whose contract says that it is idempotent. The timeout is that of the whole
    call, pauses included. The error raised is that of the attempt that came furthest: after a "maybe" never a "no".

    Args:
        attempts: the first one included.
        backoff, longest: seconds; any part of ``backoff``, doubled with each retry up to ``longest``, is the pause.
        budget: retries as a share of the calls. It starts empty: the first calls of a bus pay for no retry. None sets
            no budget: the time of each call alone bounds its retries, as a saga needs that must go on after an outage.
        burst: retries that can be saved up.
        least: seconds that an attempt must be left with; with less the error is raised at once.
        clock, chance: for tests.
    """

    def __init__(
        self,
        attempts: int = 3,
        backoff: float = 0.05,
        longest: float = 1.0,
        budget: float | None = 0.1,
        *,
        burst: int = 10,
        least: float = 0.01,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        check_whole(attempts=attempts, burst=burst)
        check_numbers(backoff=backoff, longest=longest, least=least)
        if budget is not None:
            check_share(budget=budget)
        self.policy = RetryPolicy(attempts, backoff, longest, least)
        self.counters = RetryCounters()
        self._budget = Unlimited() if budget is None else Budget(budget, burst)
        self._clock, self._chance = clock, chance

    async def __call__(self, invocation: Invocation, call_next: CallNext) -> Any:
        """Proceed, and again as long as that is safe, useful, in time and affordable.

        Cancelling is as safe as without it: an attempt is withdrawn, and a pause just ends.
        """
        self.counters.calls += 1
        self._budget.earn()
        started = self._clock()
        try:
            return await call_next(invocation)
        except ServiceBusError as error:
            failure = error
        return await self._again(invocation, call_next, started, failure)

    async def _again(self, invocation: Invocation, call_next: CallNext, started: float, last: ServiceBusError) -> Any:
        worst: Exception = last
        for attempt in count(1):
            pause = self._granted(invocation, last, attempt, started)
            if pause is None:
                break
            await asyncio.sleep(pause)
            left = self._left(invocation, started)
            if left <= 0:
                self.counters.out_of_time += 1
                break
            self.counters.retries += 1
            try:
                reply = await call_next(replace(invocation, timeout=left) if invocation.kind == "call" else invocation)
            except ServiceBusError as error:
                last, worst = error, most_executed(error, worst)
            else:
                self.counters.recovered += 1
                return reply
        if worst is last:
            raise last
        raise worst from last

    def _granted(self, invocation: Invocation, error: ServiceBusError, attempt: int, started: float) -> float | None:
        """Seconds to pause before the next attempt, which is paid for; None when there is none."""
        may_repeat = error.executed == "maybe" and repeatable(invocation.message)
        left = self._left(invocation, started)
        verdict = self.policy.verdict(error, may_repeat, attempt, left, self._chance())
        if verdict == "exhausted":
            self.counters.exhausted += 1
        elif verdict == "out_of_time":
            self.counters.out_of_time += 1
        elif verdict != "final":
            if self._budget.spend():
                return verdict
            self.counters.over_budget += 1
        return None

    def _left(self, invocation: Invocation, started: float) -> float:
        return time_left(invocation, self._clock() - started)
