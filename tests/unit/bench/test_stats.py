from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.stats import change, estimate, median, percentile, ratio

repeats = st.lists(st.floats(0.1, 1000), min_size=1, max_size=9)


@given(repeats)
def test_the_interval_holds_the_median_and_lies_within_the_repeats(values: list[float]) -> None:
    found = estimate(values)
    assert min(values) <= found.low <= found.value <= found.high <= max(values)
    assert found.value == median(values)


def test_repeats_that_agree_have_no_interval() -> None:
    found = estimate([7.0] * 5)
    assert (found.low, found.value, found.high) == (7.0, 7.0, 7.0)


def test_the_same_repeats_give_the_same_interval() -> None:
    assert estimate([1.0, 5.0, 2.0, 9.0]) == estimate([1.0, 5.0, 2.0, 9.0])


def test_more_noise_makes_a_wider_interval() -> None:
    quiet, noisy = estimate([9.0, 10.0, 10.0, 10.0, 11.0]), estimate([2.0, 6.0, 10.0, 14.0, 18.0])
    assert noisy.high - noisy.low > quiet.high - quiet.low


def test_a_ratio_does_not_suffer_from_noise_that_both_sides_share() -> None:
    noise = [1.0, 3.0, 0.5, 2.0, 8.0]
    found = ratio([2 * value for value in noise], noise)
    assert (found.low, found.value, found.high) == (2.0, 2.0, 2.0)


def test_a_change_is_certain_if_the_repeats_of_two_runs_do_not_overlap() -> None:
    found = change([10.0, 11.0, 12.0], [20.0, 22.0, 24.0])
    assert found.value == 2.0
    assert found.low > 1.5


def test_a_change_between_two_runs_is_unsure_when_they_do() -> None:
    found = change([10.0, 20.0, 30.0], [12.0, 21.0, 28.0])
    assert found.low < 1 < found.high


def test_a_percentile_is_a_value_that_occurred() -> None:
    values = [5.0, 1.0, 3.0, 2.0, 4.0]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 5.0, 5.0]
