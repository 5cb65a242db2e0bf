"""What each policy counts. Plain integers, since the policy was made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class RetryCounters:
    """Of a Retry.

    Attributes:
        calls: calls, sends and publishes that passed.
        retries: attempts after the first.
        recovered: those that ended well after a retry.
        exhausted: those given up after the last attempt.
        out_of_time: those given up because another attempt had not had enough time.
        over_budget: those given up because the budget was spent.
    """

    calls: int = 0
    retries: int = 0
    recovered: int = 0
    exhausted: int = 0
    out_of_time: int = 0
    over_budget: int = 0


@dataclass(slots=True)
class BreakerCounters:
    """Of a CircuitBreaker: messages refused, circuits opened and closed, and circuits forgotten to make room."""

    refused: int = 0
    opened: int = 0
    closed: int = 0
    forgotten: int = 0


@dataclass(slots=True)
class BulkheadCounters:
    """Of a Bulkhead: calls refused, calls that waited, and those of them whose deadline came first."""

    refused: int = 0
    waited: int = 0
    expired: int = 0


@dataclass(slots=True)
class HedgeCounters:
    """Of a Hedge: calls of operations that may be hedged, second copies, those that won, and those unaffordable."""

    calls: int = 0
    hedged: int = 0
    won: int = 0
    over_budget: int = 0


@dataclass(slots=True)
class DeduplicateCounters:
    """Of a Deduplicate: requests run under a key, those answered with the first outcome, and keys misused."""

    run: int = 0
    repeated: int = 0
    mismatched: int = 0
