"""Which log lines repeat an earlier one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicebus.foundation.repeat_filter import RepeatFilter

INTERVAL = 10


@given(
    steps=st.lists(st.tuples(st.integers(0, 12), st.sampled_from("abcd")), max_size=40),
    limit=st.integers(1, 5),
)
def test_a_subject_is_let_through_once_in_an_interval_within_the_limit(
    steps: list[tuple[int, str]], limit: int
) -> None:
    repeats: RepeatFilter[str] = RepeatFilter(INTERVAL, limit)
    let_through: list[tuple[int, str]] = []
    now = 0
    for seconds, subject in steps:
        now += seconds
        recent = [other for at, other in let_through if now - at < INTERVAL]
        if repeats.lets_through(subject, now):
            assert subject not in recent
            assert len(recent) < limit
            let_through.append((now, subject))
        elif subject not in recent:
            assert len(recent) >= limit
        assert len(repeats) <= limit
