"""Latencies in an HdrHistogram: three significant digits from a microsecond to a minute, in bounded memory.

Everything is recorded in microseconds. A measured process keeps plain numbers, and records them when the measurement is
over, so that recording costs it next to nothing meanwhile.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from hdrh.histogram import HdrHistogram

HIGHEST_US = 60_000_000
"""Microseconds of the highest latency that is told apart: a minute, longer than any call may take."""
DIGITS = 3
"""Significant digits of a latency: finer than the noise of any repeat."""
CURVE = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999)


def empty() -> Any:
    """Return a histogram without any latency."""
    return HdrHistogram(1, HIGHEST_US, DIGITS)


def of_seconds(latencies: Iterable[float]) -> Any:
    """Return a histogram of latencies in seconds. Latencies over a minute count as a minute."""
    recorded = empty()
    for latency in latencies:
        recorded.record_value(min(HIGHEST_US, max(1, round(latency * 1e6))))
    return recorded


def samples() -> array[float]:
    """Return an empty array in which a measured process keeps its latencies, in seconds: eight bytes each."""
    return array("d")


def merged(encoded: Sequence[str]) -> Any:
    """Return one histogram of several encoded ones."""
    total = empty()
    for one in encoded:
        total.decode_and_add(one)
    return total


def summary(recorded: Any) -> dict[str, Any]:
    """Return what a report holds of a histogram.

    That is milliseconds, and the histogram itself in the format of HdrHistogram V2.
    """
    return {
        "p50_ms": at(recorded, 0.5),
        "p90_ms": at(recorded, 0.9),
        "p99_ms": at(recorded, 0.99),
        "p999_ms": at(recorded, 0.999),
        "max_ms": recorded.get_max_value() / 1000,
        "histogram": recorded.encode().decode(),
    }


def at(recorded: Any, share: float) -> float:
    """Return the latency in milliseconds that ``share`` (0 to 1) of the calls do not exceed."""
    return float(recorded.get_value_at_percentile(share * 100)) / 1000


def curve(encoded: Sequence[str]) -> list[tuple[float, float]]:
    """Return the points of a percentile curve: shares and milliseconds."""
    total = merged(encoded)
    return [(share, at(total, share)) for share in CURVE]
