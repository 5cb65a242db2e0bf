"""Retries of requests that certainly did not run, within the time of the call and a budget."""

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
from .attempts import furthest, time_left
from .breaker import CircuitOpen
from .budget import Budget, Unlimited
from .counters import RetryCounters
from .idempotency import repeatable

GiveUp = Literal["final", "exhausted", "out_of_time"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The decision whether to send again, over values alone.

    Attributes:
        attempts: attempts in all, the first included.
        backoff: seconds of the longest pause before the first retry. It doubles with every further retry.
        longest: seconds of the longest pause of all.
        least: seconds that must be left for an attempt.
    """

    attempts: int
    backoff: float
    longest: float
    least: float

    def verdict(
        self, error: ServiceBusError, may_repeat: bool, attempt: int, left: float, chance: float
    ) -> float | GiveUp:
        """Return how many seconds to pause before the next attempt, or why there is none.

        Args:
            error: the error of the last attempt.
            may_repeat: whether the contract allows to run the request twice.
            attempt: the number of the last attempt, from 1.
            left: seconds that are left for the call.
            chance: a random number in [0, 1). The pause is this part of the longest one, so that callers that failed
                together do not retry together.
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
    """Middleware of a bus. It sends again what certainly did not run and may succeed the next time.

    That is ``error.executed == "no" and error.retryable``: ChannelFull, NoWorkers, Overloaded, Unavailable and
    UnknownOperation. After a "maybe" it sends an operation again only when the contract declares the operation
    idempotent. The timeout bounds the whole call, pauses included. The error of the attempt that came furthest is
    raised: after a "maybe" never a "no".

    Args:
        attempts: attempts in all, the first included.
        backoff: seconds of the longest pause before the first retry; it doubles with each retry. The pause is a random
            part of it.
        longest: seconds of the longest pause of all.
        budget: retries as a share of the calls. It starts empty: the first calls of a bus pay for no retry. None sets
            no budget: the time of each call alone bounds its retries, as a saga needs that must go on after an outage.
        burst: retries that can be saved up.
        least: seconds that must be left for an attempt; with less the error is raised at once.
        clock: seconds of a monotonic clock; tests give their own.
        chance: random numbers in [0, 1); tests give their own.

    Raises:
        ConfigurationError: a number is out of range. The text names the argument.
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
        self._clock = clock
        self._chance = chance

    async def __call__(self, invocation: Invocation, call_next: CallNext) -> Any:
        """Send the message, and again while that is safe, useful, in time and within the budget.

        Cancelling is as safe as without this policy: it withdraws an attempt, and ends a pause.
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
                last, worst = error, furthest(error, worst)
            else:
                self.counters.recovered += 1
                return reply
        if worst is last:
            raise last
        raise worst from last

    def _granted(self, invocation: Invocation, error: ServiceBusError, attempt: int, started: float) -> float | None:
        """Pay for another attempt and return the seconds to pause before it. None: there is no other attempt."""
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
