from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import histogram


def test_percentiles_are_right_to_three_digits() -> None:
    recorded = histogram.of_seconds(number / 1000 for number in range(1, 1001))
    for share, milliseconds in ((0.5, 500), (0.9, 900), (0.99, 990), (0.999, 999)):
        assert histogram.at(recorded, share) == pytest.approx(milliseconds, rel=0.002)


@given(st.lists(st.floats(1e-6, 50), min_size=1, max_size=50))
def test_no_percentile_is_over_the_largest(latencies: list[float]) -> None:
    summary = histogram.summary(histogram.of_seconds(latencies))
    assert summary["p50_ms"] <= summary["p99_ms"] <= summary["p999_ms"] <= summary["max_ms"]
    assert summary["max_ms"] == pytest.approx(max(latencies) * 1000, rel=0.002, abs=0.001)


def test_what_is_longer_than_a_minute_counts_as_a_minute() -> None:
    assert histogram.at(histogram.of_seconds([3600.0]), 0.5) == pytest.approx(60_000, rel=0.002)


def test_a_report_holds_the_whole_histogram_and_several_can_be_merged() -> None:
    low, high = (histogram.summary(histogram.of_seconds([latency] * 100)) for latency in (0.001, 0.1))
    merged = histogram.merged([low["histogram"], high["histogram"]])
    assert merged.get_total_count() == 200
    assert histogram.at(merged, 0.25) == pytest.approx(1, rel=0.002)
    assert histogram.at(merged, 0.75) == pytest.approx(100, rel=0.002)


def test_a_curve_rises() -> None:
    one = histogram.summary(histogram.of_seconds(number / 1000 for number in range(1, 500)))
    heights = [milliseconds for _, milliseconds in histogram.curve([one["histogram"]])]
    assert heights == sorted(heights)
    assert heights[0] < heights[-1]
