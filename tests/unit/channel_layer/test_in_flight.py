"""What was sent to the inbox of this process and is not there yet."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from servicebus.channel_layer.in_flight import InFlight

FRAMES = st.sampled_from([b"a", b"b", b"c"])


@given(st.lists(st.tuples(st.booleans(), FRAMES)))
def test_a_frame_is_in_flight_as_often_as_it_was_sent(events: list[tuple[bool, bytes]]) -> None:
    in_flight, model = InFlight(expiry=60.0, clock=lambda: 0.0), Counter[bytes]()
    for is_sent, frame in events:
        if is_sent:
            in_flight.sent(frame)
            model[frame] += 1
        else:
            in_flight.ended(frame)
            model[frame] -= model[frame] > 0
        assert in_flight.is_empty == (not model.total())


@given(st.lists(st.tuples(st.integers(0, 5), FRAMES, st.booleans()), max_size=20))
def test_a_frame_is_forgotten_an_expiry_after_it_was_last_sent(steps: list[Any]) -> None:
    now = 0
    in_flight, last_sent = InFlight(expiry=10.0, clock=lambda: now), dict[bytes, int]()
    for passed, frame, is_sent in steps:
        now += passed
        if is_sent:
            in_flight.sent(frame)
            last_sent[frame] = now
        assert in_flight.is_empty == all(at <= now - 10 for at in last_sent.values())
