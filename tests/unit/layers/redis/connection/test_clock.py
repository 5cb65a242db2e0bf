from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from servicebus.layers.redis.connection.clock import ServerClock

OFFSET = 1_700_000_000_000.0


def heard(clock: ServerClock, asked_ms: float, there: float, back: float, offset_ms: float) -> None:
    """Ask for the time over a link that takes so long there and back."""
    instant = asked_ms + there + offset_ms
    seconds, micros = divmod(round(instant * 1000), 1_000_000)
    clock.sample(asked_ms, asked_ms + there + back, [b"%d" % seconds, b"%d" % micros])


@given(st.floats(0, 500), st.floats(0, 500))
def test_the_first_sample_is_wrong_by_half_its_round_trip_at_most(there: float, back: float) -> None:
    clock = ServerClock()
    clock.start(0.0)
    heard(clock, 1000.0, there, back, OFFSET)
    assert abs(clock.offset_ms - OFFSET) <= (there + back) / 2 + 0.01


def test_a_late_answer_does_not_disturb_a_clock_that_was_right() -> None:
    clock = ServerClock()
    clock.start(OFFSET)
    for beat in range(10):
        heard(clock, beat * 1000.0, 0.1, 0.1, OFFSET)
    heard(clock, 11_000.0, 0.1, 400.0, OFFSET)
    assert abs(clock.offset_ms - OFFSET) < 1


def test_a_link_that_became_slow_is_believed_in_the_end() -> None:
    clock = ServerClock()
    clock.start(OFFSET)
    heard(clock, 0.0, 0.1, 0.1, OFFSET)
    for beat in range(20):
        heard(clock, beat * 1000.0, 50.0, 50.0, OFFSET + 5000)
    assert abs(clock.offset_ms - OFFSET - 5000) <= 50


def test_a_step_of_the_servers_clock_is_followed_at_the_next_good_sample() -> None:
    clock = ServerClock()
    clock.start(OFFSET)
    for beat in range(10):
        heard(clock, beat * 1000.0, random.uniform(0, 0.3), random.uniform(0, 0.3), OFFSET)
    heard(clock, 10_000.0, 0.1, 0.1, OFFSET + 3_600_000)
    assert abs(clock.offset_ms - OFFSET - 3_600_000) < 1
