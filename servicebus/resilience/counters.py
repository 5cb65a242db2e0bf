"""The counters of each policy: plain integers, counted since the policy was made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class RetryCounters:
    """Counters of a ``Retry``.

    Attributes:
        calls: calls, sends and publishes that passed.
        retries: attempts after the first.
        recovered: of these, those that succeeded after a retry.
        exhausted: of these, those given up after the last attempt.
        out_of_time: of these, those given up because too little time was left for another attempt.
        over_budget: of these, those given up because the budget was spent.
    """

    calls: int = 0
    retries: int = 0
    recovered: int = 0
    exhausted: int = 0
    out_of_time: int = 0
    over_budget: int = 0


@dataclass(slots=True)
class BreakerCounters:
    """Counters of a ``CircuitBreaker``.

    Attributes:
        refused: messages refused with CircuitOpen.
        opened: circuits that opened.
        closed: circuits that closed again.
        forgotten: circuits forgotten to make room for another channel.
    """

    refused: int = 0
    opened: int = 0
    closed: int = 0
    forgotten: int = 0


@dataclass(slots=True)
class BulkheadCounters:
    """Counters of a ``Bulkhead``.

    Attributes:
        refused: calls refused with BulkheadFull.
        waited: calls that waited for a place.
        expired: of these, those whose deadline came first.
    """

    refused: int = 0
    waited: int = 0
    expired: int = 0


@dataclass(slots=True)
class HedgeCounters:
    """Counters of a ``Hedge``.

    Attributes:
        calls: calls of operations that may be hedged.
        hedged: second copies that were sent.
        won: second copies whose value came first.
        over_budget: second copies that were not sent because the budget was spent.
    """

    calls: int = 0
    hedged: int = 0
    won: int = 0
    over_budget: int = 0


@dataclass(slots=True)
class DeduplicateCounters:
    """Counters of a ``Deduplicate``.

    Attributes:
        run: requests that ran under a key.
        repeated: requests answered with the outcome of the first.
        mismatched: requests refused because their key came with another request before.
    """

    run: int = 0
    repeated: int = 0
    mismatched: int = 0
