"""The queues of a hub against a list of every message that was ever put."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicebus.layers.memory.queues import SWEEP_EVERY, Queues

CHANNELS = ["a", "b"]
FRAMES = [b"x", b"y"]

puts = st.tuples(st.just("put"), st.sampled_from(CHANNELS), st.sampled_from(FRAMES), st.integers(0, 3))
takes = st.tuples(st.just("take"), st.sampled_from(CHANNELS), st.just(b""), st.integers(0, 4))
removes = st.tuples(st.just("remove"), st.sampled_from(CHANNELS), st.just(b""), st.integers(1, 20))
steps = st.lists(st.tuples(puts | takes | removes, st.integers(0, 3)), max_size=40)


@given(steps, st.integers(1, 6))
def test_queues_hold_what_lists_of_unexpired_messages_would_hold(
    steps: list[tuple[tuple[str, str, bytes, int], int]], expiry: int
) -> None:
    queues, now = Queues(), 0
    model: dict[str, list[tuple[int, bytes, int]]] = {channel: [] for channel in CHANNELS}
    put = 0
    for (what, channel, frame, number), passed in steps:
        now += passed
        if what == "remove":  # it may find an expired message: the caller has no use for that, and no harm by it
            numbers = [entry[2] for entry in model[channel]]
            if number in numbers or all(entry[0] > now for entry in model[channel]):
                assert queues.remove(channel, number) == (number in numbers)
            model[channel] = [entry for entry in model[channel] if entry[2] != number]
            continue
        model[channel] = [entry for entry in model[channel] if entry[0] > now]
        if what == "put":
            room = len(model[channel]) < number
            put += room
            assert queues.put(channel, frame, number, now + expiry, now) == (put if room else 0)
            model[channel] += [(now + expiry, frame, put)] * room
        else:
            assert queues.take(channel, number, now) == [entry[1] for entry in model[channel][:number]]
            del model[channel][:number]


def test_channels_whose_messages_expired_are_forgotten() -> None:
    queues = Queues()
    for number in range(10 * SWEEP_EVERY):
        queues.put(f"channel-{number}", b"x", 1, expires=number + 1, now=number)
    assert len(queues) <= SWEEP_EVERY + 1


def test_a_channel_that_was_read_or_taken_back_is_forgotten() -> None:
    queues = Queues()
    queues.put("a", b"x", 1, expires=9, now=0)
    assert queues.take("a", 1, now=0) == [b"x"]
    number = queues.put("a", b"x", 1, expires=9, now=0)
    assert queues.remove("a", number)
    assert len(queues) == 0
