from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.protocol.credit import Credit


@given(st.integers(1, 50), st.lists(st.booleans() | st.integers(1, 10)))
def test_held_and_available_always_make_up_the_limit(limit: int, steps: list[int]) -> None:
    credit, held = Credit(limit), 0
    for step in steps:
        if step is True and held:
            credit.release()
            held -= 1
        elif step is not True and step is not False and step <= credit.available:
            credit.take(step)
            held += step
        assert (credit.held, credit.available) == (held, limit - held)


def test_more_than_the_limit_is_never_taken() -> None:
    credit = Credit(3)
    credit.take(3)
    with pytest.raises(AssertionError):
        credit.take(1)


def test_what_was_not_taken_is_not_released() -> None:
    with pytest.raises(AssertionError):
        Credit(3).release()


def test_the_receiver_is_told_whenever_there_is_room_again() -> None:
    credit, told = Credit(3), []
    credit.on_release = lambda: told.append(credit.available)
    credit.take(3)
    credit.release()
    credit.release(2)
    assert told == [1, 3]
