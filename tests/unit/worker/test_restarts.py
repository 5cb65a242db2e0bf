"""When workers that died are started again: whatever the others do, and never in a rush."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicebus.worker.restarts import (
    FIRST_DELAY,
    LIVED_LONG_ENOUGH,
    LONGEST_DELAY,
    MISCONFIGURED,
    Restarts,
)

LIVES = st.lists(
    st.tuples(st.integers(0, 2), st.floats(0, 100), st.sampled_from([0, 1, -9, MISCONFIGURED])), max_size=60
)


@given(LIVES)
def test_the_death_of_a_worker_changes_nothing_for_the_others(lives: list[tuple[int, float, int]]) -> None:
    """Each place behaves as if it were alone: the delays of a place are those of its own deaths."""
    together, alone = Restarts(3, 0.0), [Restarts(1, 0.0) for _ in range(3)]
    for place, lived, status in lives:
        together.started(place, 0.0)
        alone[place].started(0, 0.0)
        assert together.ended(place, status, lived) == alone[place].ended(0, status, lived)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_the_delay_doubles_with_early_deaths_and_is_bounded(lives: list[float]) -> None:
    restarts, early, now = Restarts(1, 0.0), 0, 0.0
    for lived in lives:
        restarts.started(0, now)
        ended = now + lived
        early = 0 if ended - now >= LIVED_LONG_ENOUGH else early + 1
        delay = restarts.ended(0, -9, ended)
        assert delay == min(FIRST_DELAY * 2 ** max(0, early - 1), LONGEST_DELAY)
        assert restarts.due(ended + delay) == [0]
        assert restarts.due(ended + delay / 2) == []
        now = ended + delay


def test_a_place_that_has_a_worker_is_never_due() -> None:
    restarts = Restarts(2, 0.0)
    assert restarts.due(0.0) == [0, 1]
    restarts.started(0, 0.0)
    assert restarts.due(1e9) == [1]


@given(st.lists(st.sampled_from([1, -9, MISCONFIGURED]), min_size=2, max_size=2), st.booleans())
def test_there_is_no_hope_only_when_none_lives_and_all_are_misconfigured(statuses: list[int], one_lives: bool) -> None:
    restarts = Restarts(2, 0.0)
    for place, status in enumerate(statuses):
        restarts.started(place, 0.0)
        restarts.ended(place, status, 1.0)
    if one_lives:
        restarts.started(0, 2.0)
    assert restarts.is_hopeless == (set(statuses) == {MISCONFIGURED} and not one_lives)
