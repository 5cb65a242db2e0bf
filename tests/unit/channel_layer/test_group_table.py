"""Which channels are in which group, and for how long."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from servicebus.channel_layer.group_table import GroupTable

EXPIRY = 10
GROUPS, CHANNELS = ("g", "h"), ("a", "b", "c")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "discard", "members", "refresh"]),
        st.sampled_from(GROUPS),
        st.sampled_from(CHANNELS),
        st.integers(0, EXPIRY),
        st.sets(st.sampled_from(CHANNELS)),
    )
)


@given(STEPS)
def test_a_member_stays_until_it_is_too_old_and_no_consumer_waits(steps: list[Any]) -> None:
    table, model, now = GroupTable(EXPIRY), dict[tuple[str, str], int](), 0
    for step, group, channel, passed, live in steps:
        now += passed
        if step == "add":
            table.add(group, channel, now)
            model[group, channel] = now
        elif step == "discard":
            table.discard(group, channel)
            model.pop((group, channel), None)
        else:
            groups = GROUPS if step == "refresh" else (group,)
            for key, added in list(model.items()):
                if key[0] in groups and key[1] in live and (step == "refresh" or now - added > EXPIRY):
                    model[key] = now
                elif key[0] in groups and now - added > EXPIRY:
                    del model[key]
            if step == "refresh":
                table.refresh(now, live.__contains__)
            else:
                found = table.members(group, now, live.__contains__)
                assert sorted(found) == sorted(name for home, name in model if home == group)
        assert set(table.names()) == {home for home, _ in model}
        assert bool(table) == bool(model)
        assert all((home in table) == any(key[0] == home for key in model) for home in GROUPS)


def test_a_table_that_is_cleared_is_empty() -> None:
    table = GroupTable(EXPIRY)
    table.add("g", "a", 0)
    table.clear()
    assert (bool(table), table.names(), "g" in table) == (False, [], False)
