"""The table that forgets what was not used for the longest time."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from servicebus.foundation.lru import LruTable


def test_the_value_not_used_for_the_longest_time_is_forgotten() -> None:
    table: LruTable[str, list[str]] = LruTable(2, list)
    first = table.of("a")
    table.of("b")
    assert table.of("a") is first
    table.of("c")
    assert (table.peek("a"), table.peek("b"), table.forgotten) == (first, None, 1)


def test_a_peek_does_not_count_as_a_use() -> None:
    table: LruTable[str, list[str]] = LruTable(2, list)
    table.of("a")
    table.of("b")
    table.peek("a")
    table.of("c")
    assert table.peek("a") is None


@given(keys=st.lists(st.integers(0, 8)), limit=st.integers(1, 5))
def test_a_table_agrees_with_a_plain_model(keys: list[int], limit: int) -> None:
    table: LruTable[int, object] = LruTable(limit, object)
    model: OrderedDict[int, object] = OrderedDict()
    for key in keys:
        value = table.of(key)
        assert model.get(key, value) is value
        model[key] = value
        model.move_to_end(key)
        if len(model) > limit:
            model.popitem(last=False)
        assert len(table) == len(model)
        assert all(table.peek(known) is kept for known, kept in model.items())
