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
PRIMARIES = st.sampled_from(["one", "another"])


@pytest.mark.parametrize(("is_overdue", "answered", "has_primary", "is_proven"), list(product([False, True], repeat=4)))
def test_frames_leave_only_in_order_and_never_wait_too_long(
    is_overdue: bool, answered: bool, has_primary: bool, is_proven: bool
) -> None:
    decision = decide(is_overdue=is_overdue, answered=answered, has_primary=has_primary, is_proven=is_proven)
    assert (decision in (Decision.REFUSE, Decision.REFUSE_AND_WAIT)) == is_overdue
    assert (decision in (Decision.TRY, Decision.RELEASE)) == (answered and has_primary and not is_overdue)
    assert decision is not Decision.RELEASE or is_proven, "one frame goes first"
    assert decision is not Decision.REFUSE or answered, "what comes later could overtake"


class One:
    """A delivery whose outcome is not looked at."""

    def __init__(self, channel: str, number: int) -> None:
        self.channel = channel
        self.number = number
        self.place = 0
        self.frame = b"x" * (number % 5)

    @property
    def options(self) -> Options:
        return PLAIN

    def settle(self, error: Any) -> None: ...


class Parked(RuleBasedStateMachine):
    """Frames are numbered as they are sent. Nodes take some and send others back, in order, and answer in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.parking = Parking(MAX_OUTAGE, max_bytes=20)
        self.now = 0
        self.sent = 0
        self.since: dict[str, int] = {}
        self.back: dict[str, list[One]] = {}
        self.new: dict[str, list[One]] = {}

    def frame(self, channel: str) -> One:
        self.sent += 1
        return One(channel, self.sent)

    def any_parked(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(list(self.parking.parked)))

    def no_longer(self, channel: str) -> None:
        del self.back[channel], self.new[channel]

    @rule(channel=CHANNELS)
    def park(self, channel: str) -> None:
        if channel not in self.parking.parked:
            self.since.setdefault(channel, self.now)
            self.parking.park(channel, self.now)
            self.back[channel], self.new[channel] = [], []

    @precondition(lambda self: self.parking.parked)
    @rule(data=st.data(), comes_back=st.booleans())
    def add(self, data: st.DataObject, comes_back: bool) -> None:
        channel = self.any_parked(data)
        waiting, one = self.parking.parked[channel], self.frame(channel)
        if comes_back and waiting.trial is None and not waiting.answered:
            waiting.add_back([one])
            self.back[channel].append(one)
        else:
            waiting.add(one)
            self.new[channel].append(one)

    @precondition(lambda self: any(self.new.values()) or any(self.back.values()))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        everything = [one for found in [*self.back.values(), *self.new.values()] for one in found]
        one = data.draw(st.sampled_from(everything))
        waiting = self.parking.parked[one.channel]
        assert waiting.remove([one]) == [one]
        assert waiting.remove([one]) == []
        where = self.back if one in self.back[one.channel] else self.new
        where[one.channel].remove(one)

    @rule(seconds=st.integers(0, 4))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds

    @precondition(lambda self: self.parking.parked)
    @rule(data=st.data(), comes_back=st.booleans(), primary=PRIMARIES)
    def answer(self, data: st.DataObject, comes_back: bool, primary: str) -> None:
        channel = self.any_parked(data)
        waiting = self.parking.parked[channel]
        trial = waiting.trial
        if isinstance(trial, One) and comes_back:
            waiting.add_back([trial])
            self.back[channel].insert(0, trial)
        before = waiting.taken_by
        waiting.trial_ended(primary)
        assert waiting.taken_by == (primary if trial is not None and not comes_back else before)

    @precondition(lambda self: self.parking.parked)
    @rule(data=st.data(), primary=st.none() | PRIMARIES)
    def look(self, data: st.DataObject, primary: str | None) -> None:
        channel = self.any_parked(data)
        waiting = self.parking.parked[channel]
        expected = self.back[channel] + self.new[channel]
        match self.parking.decide(channel, self.now, primary):
            case Decision.TRY:
                assert waiting.take_trial() is expected[0]
                (self.back[channel] or self.new[channel]).pop(0)
                assert not waiting.answered
            case Decision.RELEASE:
                assert not expected or waiting.taken_by == primary
                assert self.parking.end(channel) == expected
                self.no_longer(channel)
                self.parking.settled(channel)
                del self.since[channel]
            case Decision.REFUSE:
                assert self.parking.end(channel) == expected
                self.no_longer(channel)
            case Decision.REFUSE_AND_WAIT:
                assert waiting.take() == expected
                self.back[channel], self.new[channel] = [], []
            case Decision.WAIT:
                assert self.now - waiting.since <= MAX_OUTAGE

    @rule()
    def end_all(self) -> None:
        expected = [one for channel in self.parking.parked for one in self.back[channel] + self.new[channel]]
        assert self.parking.end_all() == expected
        self.back, self.new = {}, {}

    @invariant()
    def waits_add_up_until_a_primary_took_everything(self) -> None:
        for channel, waiting in self.parking.parked.items():
            assert waiting.since >= self.since[channel]
            assert waiting.since == self.since[channel] or self.now - self.since[channel] > 2 * MAX_OUTAGE

    @invariant()
    def sizes_add_up(self) -> None:
        sizes = [sum(len(one.frame) for one in self.back[name] + self.new[name]) for name in self.parking.parked]
        assert [waiting.size for waiting in self.parking.parked.values()] == sizes
        assert self.parking.is_full == (sum(sizes) >= 20)


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
