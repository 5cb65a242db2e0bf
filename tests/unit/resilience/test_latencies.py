from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicebus.resilience.latencies import Latencies


def test_too_few_durations_say_nothing() -> None:
    latencies = Latencies()
    for _ in range(19):
        latencies.note(0.01)
    assert latencies.usual is None
    latencies.note(0.01)
    assert latencies.usual == 0.01


def test_the_usual_duration_follows_what_was_seen_last() -> None:
    latencies = Latencies(window=40)
    for seconds in [1.0] * 40 + [2.0] * 60:
        latencies.note(seconds)
    assert latencies.usual == 2.0


@given(seconds=st.lists(st.floats(0, 10), min_size=20, max_size=20))
def test_nineteen_of_twenty_stay_within_the_usual_duration(seconds: list[float]) -> None:
    latencies = Latencies()
    for duration in seconds:
        latencies.note(duration)
    usual = latencies.usual
    assert usual in seconds
    assert usual is not None
    assert sum(duration <= usual for duration in seconds) >= 19
    assert sum(duration < usual for duration in seconds) < 19
