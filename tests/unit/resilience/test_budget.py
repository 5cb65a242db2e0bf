from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicebus.resilience.budget import Budget, Unlimited


def test_ten_calls_pay_for_one_copy_and_nine_do_not() -> None:
    budget = Budget(0.1, burst=10)
    for _ in range(9):
        budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()
    assert not budget.spend()


def test_no_more_than_the_burst_is_saved_up() -> None:
    budget = Budget(0.5, burst=3)
    for _ in range(1000):
        budget.earn()
    assert [budget.spend() for _ in range(5)] == [True, True, True, False, False]


def test_an_unlimited_budget_pays_for_every_copy() -> None:
    budget = Unlimited()
    budget.earn()
    assert all(budget.spend() for _ in range(1000))


@given(
    share=st.floats(min_value=0.001, max_value=1.0),
    burst=st.integers(min_value=1, max_value=20),
    steps=st.lists(st.booleans(), max_size=400),
)
def test_copies_are_at_every_instant_at_most_their_share_of_the_calls(
    share: float, burst: int, steps: list[bool]
) -> None:
    budget = Budget(share, burst)
    calls = copies = 0
    for is_call in steps:
        if is_call:
            budget.earn()
            calls += 1
        else:
            copies += budget.spend()
        assert copies <= share * calls
