"""The circuit breaker: it refuses messages to a channel that fails too often, without sending them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from ..api.middleware import CallNext, Invocation
from ..config import check_numbers, check_whole
from ..errors import (
    DeadlineExceeded,
    NoWorkers,
    Overloaded,
    RemoteError,
    SendUnknown,
    ServiceBusError,
    Unavailable,
    WorkerLost,
)
from ..foundation import running_time
from ..foundation.lru import LruTable
from .bulkhead import BulkheadFull, ExpiredInLine
from .circuit import Circuit, State, Tolerance
from .counters import BreakerCounters

FAILURES = (Unavailable, DeadlineExceeded, WorkerLost, SendUnknown, Overloaded, NoWorkers)
"""Errors that count against a channel."""
MIN_OBSERVED = 0.001
"""Seconds that a call must have taken for its DeadlineExceeded to count: before that, its time was over on arrival."""

logger = logging.getLogger(__name__)


class CircuitOpen(Unavailable):
    """Refused because the channel failed too often recently. Nothing was sent.

    Attributes:
        channel: the channel.
        retry_after: seconds until a probe is let through, 0 while a probe is in flight.
    """

    def __init__(self, channel: str, retry_after: float) -> None:
        super().__init__(f"the circuit to {channel!r} is open")
        self.args = channel, retry_after
        self.channel, self.retry_after = channel, retry_after

    def __str__(self) -> str:
        return f"{self.reason}: it failed too often; the next try is let through in {self.retry_after:.1f} s"


class CircuitBreaker:
    """Middleware of a bus: calls and sends to a channel that fails too often are refused with CircuitOpen.

    Failures are Unavailable, DeadlineExceeded, WorkerLost, SendUnknown, Overloaded and NoWorkers. Values and what a
    handler raised are good outcomes, because the channel answers. Other outcomes are not counted: refused requests, a
    full channel, the refusals of another policy, cancellation, and errors of calls for most of whose time this process
    stood still. Events have no single channel, and pass.

    Args:
        failures: failures that open the circuit of a channel.
        of: outcomes among which failures are counted: the last ones.
        within: seconds after which an outcome no longer counts.
        rest: seconds from opening to the first probe.
        probes: messages let through at once then. As many good outcomes close the circuit; one failure opens it again.
        channels: channels that are remembered. A channel that was forgotten starts with a closed circuit.
        clock: seconds of a monotonic clock; tests give their own.

    Raises:
        ConfigurationError: a number is out of range. The text names the argument.
    """

    def __init__(
        self,
        failures: int = 10,
        of: int = 20,
        within: float = 10.0,
        rest: float = 5.0,
        *,
        probes: int = 1,
        channels: int = 1000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_whole(failures=failures, probes=probes, channels=channels)
        check_whole(of=of, at_least=failures)
        check_numbers(within=within, rest=rest)
        tolerance = Tolerance(failures, of, within, rest, probes)
        self._circuits: LruTable[str, Circuit] = LruTable(channels, lambda: Circuit(tolerance))
        self._counters = BreakerCounters()
        self._clock = clock

    @property
    def counters(self) -> BreakerCounters:
        """Counts since the policy was made."""
        self._counters.forgotten = self._circuits.forgotten
        return self._counters

    def state(self, channel: str) -> State:
        """Return the state of a channel's circuit after the last message to the channel."""
        circuit = self._circuits.peek(channel)
        return circuit.state if circuit else State.CLOSED

    async def __call__(self, invocation: Invocation, call_next: CallNext) -> Any:
        """Send the message, unless the circuit of its channel is open.

        Cancelling is as safe as without this policy: a cancelled probe makes room for the next probe.

        Raises:
            CircuitOpen: the circuit is open; nothing was sent.
        """
        if invocation.kind == "publish":
            return await call_next(invocation)
        circuit, started = self._circuits.of(invocation.channel), self._clock()
        began = asyncio.get_running_loop().time()
        permit = circuit.admit(started)
        if permit is None:
            self._counters.refused += 1
            raise CircuitOpen(invocation.channel, circuit.retry_after(started))
        healthy: bool | None = None
        try:
            reply = await call_next(invocation)
            healthy = True
        except ServiceBusError as error:
            healthy = _health(error, self._clock() - started)
            if running_time.of_running_loop().stood_still_most_of(began):
                healthy = None  # this process hardly gave the channel a chance
            raise
        finally:
            self._settle(invocation.channel, circuit, permit, healthy)
        return reply

    def _settle(self, channel: str, circuit: Circuit, permit: int, healthy: bool | None) -> None:
        before = circuit.state
        circuit.settle(permit, healthy, self._clock())
        if circuit.state is before:
            return
        if circuit.state is State.OPEN:
            self._counters.opened += 1
            logger.warning("the circuit to %s is open", channel)
        else:
            self._counters.closed += 1
            logger.info("the circuit to %s is closed again", channel)


def _health(error: ServiceBusError, seconds: float) -> bool | None:
    """Return what an error shows about a channel: True, it answers; False, it fails; None, neither."""
    if isinstance(error, RemoteError):
        return True
    if isinstance(error, DeadlineExceeded) and seconds < MIN_OBSERVED:
        return None
    if isinstance(error, FAILURES) and not isinstance(error, CircuitOpen | BulkheadFull | ExpiredInLine):
        return False
    return None
