"""Frames that wait while their slot moves: the decision over all combinations, and random walks beside a model."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from servicebus.layers.delivery import PLAIN, Options
from servicebus.layers.redis.topology.parking import Decision, Parking, decide

MAX_OUTAGE = 10
CHANNELS = st.sampled_from(["a.request", "b.request"])


@pytest.mark.parametrize(("is_overdue", "answered", "has_primary"), list(product([False, True], repeat=3)))
def test_frames_leave_only_in_order_and_never_wait_too_long(
    is_overdue: bool, answered: bool, has_primary: bool
) -> None:
    decision = decide(is_overdue=is_overdue, answered=answered, has_primary=has_primary)
    assert (decision is Decision.RELEASE) == (answered and has_primary and not is_overdue)
    assert (decision in (Decision.REFUSE, Decision.REFUSE_AND_WAIT)) == is_overdue
    if not answered:
        assert decision in (Decision.WAIT, Decision.REFUSE_AND_WAIT), "the channel stays parked"


class One:
    """A delivery whose outcome is not looked at."""

    def __init__(self, channel: str, number: int) -> None:
        self.channel = channel
        self.number = number
        self.frame = b"x" * (number % 5)

    @property
    def options(self) -> Options:
        return PLAIN

    def settle(self, error: Any) -> None: ...


class Parked(RuleBasedStateMachine):
    """Frames are numbered as they are sent. The node took some, sends some back, and answers in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.parking = Parking(MAX_OUTAGE, max_bytes=1000)
        self.now = 0
        self.sent = 0
        self.back: dict[str, list[One]] = {}
        self.new: dict[str, list[One]] = {}

    def frame(self, channel: str) -> One:
        self.sent += 1
        return One(channel, self.sent)

    @rule(channel=CHANNELS)
    def park(self, channel: str) -> None:
        if channel not in self.parking:
            self.parking.park(channel, self.now)
            self.back[channel], self.new[channel] = [], []

    @precondition(lambda self: len(self.parking) > 0)
    @rule(data=st.data(), comes_back=st.booleans())
    def add(self, data: st.DataObject, comes_back: bool) -> None:
        channel = data.draw(st.sampled_from(self.parking.channels()))
        waiting, one = self.parking.get(channel), self.frame(channel)
        assert waiting is not None
        if comes_back:
            waiting.add_back([one])
            self.back[channel].append(one)
        else:
            waiting.add(one)
            self.new[channel].append(one)

    @precondition(lambda self: any(self.new.values()))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([one for found in self.new.values() for one in found]))
        waiting = self.parking.get(one.channel)
        assert waiting is not None
        assert waiting.remove(one)
        assert not waiting.remove(one)
        self.new[one.channel].remove(one)

    @rule(seconds=st.integers(0, 4))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds

    @precondition(lambda self: len(self.parking) > 0)
    @rule(data=st.data(), answered=st.booleans(), has_primary=st.booleans())
    def look(self, data: st.DataObject, answered: bool, has_primary: bool) -> None:
        channel = data.draw(st.sampled_from(self.parking.channels()))
        waiting = self.parking.get(channel)
        assert waiting is not None
        waiting.answered = waiting.answered or answered
        expected = self.back[channel] + self.new[channel]
        match self.parking.decide(channel, self.now, has_primary=has_primary):
            case Decision.RELEASE | Decision.REFUSE:
                assert self.parking.end(channel) == expected
                del self.back[channel], self.new[channel]
                self.parking.settled(channel)
            case Decision.REFUSE_AND_WAIT:
                assert waiting.take() == expected
                self.back[channel], self.new[channel] = [], []

    @invariant()
    def sizes_add_up(self) -> None:
        for channel in self.parking.channels():
            waiting = self.parking.get(channel)
            assert waiting is not None
            assert waiting.size == sum(len(one.frame) for one in self.back[channel] + self.new[channel])


TestParked = Parked.TestCase
TestParked.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_the_wait_of_a_channel_goes_on_when_it_is_parked_again() -> None:
    parking = Parking(MAX_OUTAGE, max_bytes=1000)
    parking.park("a.request", 0)
    parking.end("a.request")
    assert parking.park("a.request", 5).since == 0
    parking.end("a.request")
    parking.settled("a.request")
    assert parking.park("a.request", 6).since == 6


def test_what_may_be_parked_is_bounded_in_bytes() -> None:
    parking = Parking(MAX_OUTAGE, max_bytes=4)
    parking.park("a.request", 0).add(One("a.request", 4))
    assert parking.is_full
    assert len(parking.end_all()) == 1
    assert not parking.is_full
