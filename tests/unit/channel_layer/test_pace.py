"""How much a reader of a normal channel asks for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicebus.channel_layer.pace import MAX_FULL_POPS, MAX_TAKE, Demand, Pace, Step, next_step, to_pop

AT_ONCE = st.integers(1, MAX_TAKE)


@given(st.booleans(), st.integers(0, 10), AT_ONCE)
def test_a_pop_brings_something_exactly_when_it_is_the_next_step(busy: bool, waiting: int, at_once: int) -> None:
    step = next_step(busy=busy, waiting=waiting, at_once=at_once)
    assert (step is Step.NOTHING) == (busy or not waiting)
    assert (step is Step.TAKE) == (not busy and waiting > 0 and at_once > 1)
    assert to_pop(busy=busy, waiting=waiting, at_once=at_once) == (waiting if step is Step.POP else 0)


@given(st.lists(st.one_of(st.booleans(), st.integers(0, MAX_TAKE)), max_size=200))
def test_the_pace_stays_in_its_bounds_and_only_a_take_raises_it_far(events: list[bool | int]) -> None:
    pace = Pace()
    for event in events:
        before = pace.at_once
        if isinstance(event, bool):
            if before == 1:
                pace.popped(full=event)
                assert pace.at_once in (1, 2)
                assert event or pace.at_once == 1
        elif before > 1:
            pace.taken(min(event, before))
            assert pace.at_once == (min(2 * before, MAX_TAKE) if event >= before else 1)
        assert 1 <= pace.at_once <= MAX_TAKE


def test_takes_that_find_nothing_are_tried_less_and_less_often() -> None:
    pace, needed = Pace(), []
    for _ in range(10):
        pops = 0
        while pace.at_once == 1:
            pace.popped(full=True)
            pops += 1
        needed.append(pops)
        pace.taken(0)
    assert needed == [1, 2, 4, 8, 16, 32, 64, 64, 64, 64]
    assert max(needed) == MAX_FULL_POPS


@given(st.integers(0, 20), st.integers(0, 20))
def test_demand_is_what_waits_beyond_what_has_come(waiting: int, came: int) -> None:
    demand = Demand(lambda: waiting)
    assert demand.available == waiting
    demand.expect(waiting)
    demand.take(came)
    assert (demand.available, demand.asked) == (waiting - came, waiting)
    demand.release(came)
    assert demand.available == waiting
