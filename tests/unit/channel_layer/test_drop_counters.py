"""What a layer drops is counted and logged, and never raised."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.channel_layer.drop_counters import DropCounters


@given(st.lists(st.one_of(st.just("poison"), st.just("copy"), st.integers(1, 5))))
def test_each_kind_of_drop_has_a_counter(drops: list[str | int]) -> None:
    called: list[tuple[str, str]] = []
    counters = DropCounters(lambda group, channel: called.append((group, channel)))
    for drop in drops:
        if drop == "poison":
            counters.drop_unreadable("jobs", "not msgpack")
        elif drop == "copy":
            counters.drop_group_copy("g", "jobs")
        else:
            counters.drop_unreturned("jobs", int(drop), "lost")
    assert counters.poisoned == drops.count("poison")
    assert counters.group_drops == drops.count("copy")
    assert counters.lost == sum(drop for drop in drops if isinstance(drop, int))
    assert called == [("g", "jobs")] * counters.group_drops


def test_a_hook_that_raises_is_logged_and_the_drop_counted(caplog: pytest.LogCaptureFixture) -> None:
    def raises(group: str, channel: str) -> None:
        raise LookupError(group)

    counters = DropCounters(raises)
    with caplog.at_level(logging.ERROR, "servicebus"):
        counters.drop_group_copy("g", "jobs")
    assert "on_group_drop raised" in caplog.text
    assert counters.group_drops == 1


def test_a_reason_from_elsewhere_is_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    DropCounters().drop_unreadable("jobs", "line\nline")
    assert "line\\nline" in caplog.text
