"""CoDel over ages and instants."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicebus.protocol.codel import Codel, Shedding


def shed(ages: list[tuple[float, float]], config: Shedding | None = None) -> list[bool]:
    codel = Codel(config or Shedding())
    return [codel.sheds(age, now) for now, age in ages]


def test_a_standing_queue_is_shed_and_fresh_messages_are_served() -> None:
    queue = [(1000.0 + ms, 50.0) for ms in range(0, 101, 10)]
    assert shed(queue) == [False] * 10 + [True]
    assert shed([*queue, (1110, 9.0), (1120, 11.0)])[-2:] == [False, True]


def test_a_burst_that_is_worked_off_within_an_interval_is_none() -> None:
    assert not any(shed([(1000.0 + ms, 60.0 - ms) for ms in range(60)]))


def test_one_fresh_message_in_an_interval_is_enough() -> None:
    ages = [(1000.0 + ms, 3.0 if ms % 90 == 0 else 40.0) for ms in range(0, 1000, 10)]
    assert not any(shed(ages))


def test_a_pause_forgets_what_was_before_it() -> None:
    standing = [(1000.0 + ms, 50.0) for ms in range(0, 150, 10)]
    assert shed(standing)[-1]
    assert not shed([*standing, (2000.0, 50.0)])[-1]


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 1000)), max_size=200))
def test_what_is_fresh_is_never_shed(steps: list[tuple[float, float]]) -> None:
    codel, now = Codel(Shedding(target=0.005, interval=0.1)), 0.0
    for step, age in steps:
        now += step
        assert not (codel.sheds(age, now) and age <= 10)
