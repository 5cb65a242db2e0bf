"""Latencies in an HdrHistogram: three significant digits from a microsecond to a minute, in bounded memory.

Everything is recorded in microseconds. Where many are recorded at once they were kept as plain numbers first, so that
recording costs the measured process next to nothing while it is measured.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from hdrh.histogram import HdrHistogram

HIGHEST_US = 60_000_000
DIGITS = 3
CURVE = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999)


def empty() -> Any:
    return HdrHistogram(1, HIGHEST_US, DIGITS)


def of_seconds(latencies: Iterable[float]) -> Any:
    """A histogram of latencies in seconds. Those over a minute count as a minute."""
    recorded = empty()
    for latency in latencies:
        recorded.record_value(min(HIGHEST_US, max(1, round(latency * 1e6))))
    return recorded


def samples() -> array[float]:
    """Where a measured process keeps its latencies, in seconds: eight bytes each."""
    return array("d")


def merged(encoded: Sequence[str]) -> Any:
    """One histogram of several that were encoded."""
    total = empty()
    for one in encoded:
        total.decode_and_add(one)
    return total


def summary(recorded: Any) -> dict[str, Any]:
    """What a report says of a histogram: milliseconds, and the histogram itself in the format of HdrHistogram V2."""
    return {
        "p50_ms": at(recorded, 0.5),
        "p90_ms": at(recorded, 0.9),
        "p99_ms": at(recorded, 0.99),
        "p999_ms": at(recorded, 0.999),
        "max_ms": recorded.get_max_value() / 1000,
        "histogram": recorded.encode().decode(),
    }


def at(recorded: Any, share: float) -> float:
    """The latency in milliseconds that ``share`` (0 to 1) do not exceed."""
    return float(recorded.get_value_at_percentile(share * 100)) / 1000


def curve(encoded: Sequence[str]) -> list[tuple[float, float]]:
    """Points of a percentile curve: shares and milliseconds."""
    total = merged(encoded)
    return [(share, at(total, share)) for share in CURVE]
