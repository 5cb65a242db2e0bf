from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.protocol.credit import Credit, ThreadCredit


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
    credit.subscribe(lambda: told.append(credit.available))
    credit.take(3)
    credit.release()
    credit.release(2)
    assert told == [1, 3]


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20), st.integers(0, 20)), max_size=50))
def test_available_credit_is_never_negative_whatever_the_limit(
    steps: list[tuple[int, int, int]],
) -> None:
    credit, asked = Credit(20), 0
    for limit, released, come in steps:
        credit.take(min(come, asked))
        asked = credit.available
        credit.change(limit)
        credit.release(min(released, credit.held))
        assert 0 <= credit.available <= max(0, limit - credit.held)
        assert credit.held <= credit.most


def test_the_receiver_is_called_when_the_limit_is_raised() -> None:
    credit, told = Credit(10), []
    credit.take(4)
    credit.subscribe(lambda: told.append(credit.available))
    credit.change(2)
    assert (credit.available, told) == (0, [])
    credit.change(6)
    assert told == [2]
    for limit in (0, 11):
        with pytest.raises(AssertionError):
            credit.change(limit)


@given(
    st.integers(1, 12),
    st.integers(1, 6),
    st.booleans(),
    st.lists(st.sampled_from(["pop", "sort", "finish", "end"]), max_size=80),
    st.data(),
)
def test_no_more_is_taken_than_can_run(limit: int, threads: int, mixed: bool, steps: list[str], data: Any) -> None:
    """A model of a worker: messages that came, those in threads, those that run without one."""
    credit = ThreadCredit(limit, threads, mixed=mixed)
    came = threaded = free = 0
    for step in steps:
        if step == "pop" and credit.available:
            count = data.draw(st.integers(1, credit.available))
            credit.take(count)
            came += count
        elif step == "sort" and came:
            came -= 1
            if mixed and data.draw(st.booleans()):
                credit.leave_thread()
                free += 1
            else:
                threaded += 1
        elif step == "finish" and threaded:
            credit.release()
            threaded -= 1
        elif step == "end" and free:
            credit.claim_thread()
            credit.release()
            free -= 1
        assert credit.held == came + threaded + free <= limit
        # One may wait for a thread, where the next message might need none.
        assert came + threaded <= threads + (1 if mixed else 0)
        if came + threaded < min(threads, limit - free):
            assert credit.available > 0


def test_the_receiver_is_told_when_a_message_needs_no_thread() -> None:
    credit, told = ThreadCredit(10, 2, mixed=True), []
    credit.take(2)
    credit.take(credit.available)
    credit.subscribe(lambda: told.append(credit.available))
    assert credit.available == 0
    credit.leave_thread()
    assert told == [1]
