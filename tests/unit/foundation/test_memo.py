"""The table of computed values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicebus.foundation.memo import Memo


def test_a_value_is_computed_on_first_use_only() -> None:
    asked: list[str] = []

    def compute(key: str) -> str:
        asked.append(key)
        return key.upper()

    memo = Memo(compute)
    assert [memo["a"], memo["a"], memo["b"]] == ["A", "A", "B"]
    assert asked == ["a", "b"]


@given(keys=st.lists(st.integers(0, 20)), limit=st.integers(1, 5))
def test_a_memo_stays_within_its_limit_and_always_has_the_right_value(keys: list[int], limit: int) -> None:
    memo: Memo[int, int] = Memo(lambda key: key * key, limit)
    for key in keys:
        assert memo[key] == key * key
        assert len(memo) <= limit
