"""A worker says that its wall clock is wrong: once, when it is certain, and once when it is right again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicebus.worker.clock_check import LOOKS_UNTIL_CERTAIN, TOLERANCE_MS, ClockCheck

SERVER_MS = 1_800_000_000_000
AGREES = st.integers(-TOLERANCE_MS, TOLERANCE_MS)
WRONG = st.integers(TOLERANCE_MS + 1, 10**12) | st.integers(-(10**12), -TOLERANCE_MS - 1)


def reports(offsets: list[int]) -> list[str]:
    check = ClockCheck()
    return [found for ahead in offsets if (found := check.look(SERVER_MS + ahead, SERVER_MS)) is not None]


@given(st.lists(AGREES, max_size=50))
def test_a_clock_that_agrees_is_never_reported(offsets: list[int]) -> None:
    assert reports(offsets) == []


@given(st.lists(WRONG, min_size=LOOKS_UNTIL_CERTAIN, max_size=50))
def test_a_clock_that_stays_wrong_is_reported_once(offsets: list[int]) -> None:
    (report,) = reports(offsets)
    ahead = offsets[LOOKS_UNTIL_CERTAIN - 1]
    assert f"{abs(ahead) / 1000:.0f} s {'ahead of' if ahead > 0 else 'behind'} the server's" in report


@given(st.lists(st.lists(WRONG, max_size=LOOKS_UNTIL_CERTAIN - 1), max_size=10))
def test_a_clock_that_is_wrong_for_a_moment_is_not_reported(moments: list[list[int]]) -> None:
    assert reports([ahead for moment in moments for ahead in (*moment, 0)]) == []


@given(st.lists(AGREES | WRONG, max_size=200))
def test_reports_of_a_wrong_and_of_a_right_clock_alternate(offsets: list[int]) -> None:
    found = ["again" in report for report in reports(offsets)]
    assert found == [number % 2 == 1 for number in range(len(found))]
