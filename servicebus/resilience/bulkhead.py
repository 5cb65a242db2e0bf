"""The bulkhead: it bounds the calls in flight to each channel, so that a slow channel does not use up the process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..api.middleware import CallNext, Invocation
from ..config import check_whole
from ..contract.request import operation_of
from ..errors import DeadlineExceeded, Overloaded
from .attempts import time_left
from .counters import BulkheadCounters
from .gate import Gate

Place = asyncio.Future[None]


class BulkheadFull(Overloaded):
    """Refused because the bulkhead allows no more calls to the channel in flight. Nothing was sent."""


class ExpiredInLine(DeadlineExceeded):
    """The deadline passed while the call waited for a place, or soon after: it says nothing about the channel."""


class Bulkhead:
    """Middleware of a bus: at most ``limit`` calls are in flight to each channel, from this bus.

    Up to ``queue`` more calls wait for a place, in the order in which they came. A call that waits until its deadline
    ends with DeadlineExceeded (stage "queued"). More calls are refused with BulkheadFull, an Overloaded. Sends and
    events pass, because they do not wait for a handler.

    Args:
        limit: calls in flight, per channel.
        queue: calls that may wait, per channel.
        clock: seconds of a monotonic clock; tests give their own.

    Raises:
        ConfigurationError: a number is out of range. The text names the argument.
    """

    def __init__(
        self,
        limit: int,
        queue: int = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_whole(limit=limit)
        check_whole(queue=queue, at_least=0)
        self.counters = BulkheadCounters()
        self._limit, self._queue, self._clock = limit, queue, clock
        # A channel has a gate while a call holds a place in it, so there are at most as many gates as calls in flight.
        self._gates: dict[str, Gate[Place]] = {}

    def in_flight(self, channel: str) -> int:
        """Return the number of calls to ``channel`` that have a place now."""
        gate = self._gates.get(channel)
        return gate.inside if gate else 0

    async def __call__(self, invocation: Invocation, call_next: CallNext) -> Any:
        """Send a call once it has a place.

        Cancelling is as safe as without this policy: the call gives back its place, or leaves the queue.

        Raises:
            BulkheadFull: all places are taken and the queue is full; nothing was sent.
            ExpiredInLine: the call waited here for most of its time; its stage says whether it was sent.
        """
        if invocation.kind != "call":
            return await call_next(invocation)
        channel = invocation.channel
        gate = self._gates.get(channel)
        if gate is None:
            gate = self._gates[channel] = Gate(self._limit, self._queue)
        waited = 0.0
        if not gate.enter():
            started = self._clock()
            invocation = await self._wait(gate, invocation)
            waited = self._clock() - started
        try:
            return await call_next(invocation)
        except DeadlineExceeded as error:
            if waited > invocation.timeout:  # of which the waiting is taken off already
                raise ExpiredInLine(error.channel, error.operation, error.stage) from error
            raise
        finally:
            self._leave(channel, gate)

    async def _wait(self, gate: Gate[Place], invocation: Invocation) -> Invocation:
        """Wait for a place. Return the call with the time that is left for it."""
        place: Place = asyncio.get_running_loop().create_future()
        if not gate.join(place):
            self.counters.refused += 1
            raise BulkheadFull(invocation.channel, f"{self._limit} calls from this process are in flight")
        self.counters.waited += 1
        started = self._clock()
        try:
            async with asyncio.timeout(time_left(invocation, 0.0)):
                await place
            left = time_left(invocation, self._clock() - started)
            if left <= 0:
                raise TimeoutError
        except BaseException as error:
            if not gate.withdraw(place):
                self._leave(invocation.channel, gate)
            if not isinstance(error, TimeoutError):
                raise
            self.counters.expired += 1
            raise ExpiredInLine(invocation.channel, operation_of(invocation.message), "queued") from None
        return replace(invocation, timeout=left)

    def _leave(self, channel: str, gate: Gate[Place]) -> None:
        following = gate.leave()
        if following is not None and not following.done():
            following.set_result(None)
        # A future that is done was cancelled just now: its call finds that it has a place, and gives that place back.
        if not gate.inside:
            del self._gates[channel]
