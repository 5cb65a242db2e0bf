from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicebus.resilience.latencies import Latencies


def test_too_few_durations_have_no_percentile() -> None:
    latencies = Latencies()
    for _ in range(19):
        latencies.record(0.01)
    assert latencies.percentile is None
    latencies.record(0.01)
    assert latencies.percentile == 0.01


def test_the_percentile_follows_the_last_durations() -> None:
    latencies = Latencies(window=40)
    for seconds in [1.0] * 40 + [2.0] * 60:
        latencies.record(seconds)
    assert latencies.percentile == 2.0


@given(seconds=st.lists(st.floats(0, 10), min_size=20, max_size=20))
def test_nineteen_of_twenty_stay_within_the_percentile(seconds: list[float]) -> None:
    latencies = Latencies()
    for duration in seconds:
        latencies.record(duration)
    percentile = latencies.percentile
    assert percentile in seconds
    assert percentile is not None
    assert sum(duration <= percentile for duration in seconds) >= 19
    assert sum(duration < percentile for duration in seconds) < 19
