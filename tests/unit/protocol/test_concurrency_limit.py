"""The limiter over latencies and instants: beside a resource that is simulated, and with whatever may come."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus import ConfigurationError
from servicebus.protocol.concurrency_limit import PROBE_AFTER, Adaptive, Limiter

MAX_HELD = 256
UNLIMITED = MAX_HELD


class Resource:
    """So many places, and work that takes so long in one of them. Messages wait for the limiter without end.

    Attributes:
        places, takes: of an instant, so that they may change. Work that has no place waits for one in turn.
        limits: the limit whenever a message was done, with the instant.
    """

    def __init__(self, places: Callable[[float], int], takes: Callable[[float], float]) -> None:
        self.places, self.takes = places, takes
        self.limiter = Limiter(Adaptive(), MAX_HELD)
        self.limits = list[tuple[float, int]]()
        self._now, self._held = 0.0, 0
        self._waiting, self._busy = deque[tuple[float, int]](), list[tuple[float, float, int]]()

    def run(self, until: float) -> Resource:
        while self._now < until:
            while self._held < self.limiter.limit:
                self._held += 1
                self._waiting.append((self._now, self._held))
            while self._waiting and len(self._busy) < self.places(self._now):
                came, in_flight = self._waiting.popleft()
                heappush(self._busy, (self._now + self.takes(self._now), came, in_flight))
            self._now, came, in_flight = heappop(self._busy)
            self._held -= 1
            self.limits.append((self._now, self.limiter.observe(self._now - came, in_flight, self._now)))
        return self

    def between(self, begin: float, end: float) -> list[int]:
        return [limit for instant, limit in self.limits if begin <= instant < end]


def always(value: Any) -> Callable[[float], Any]:
    return lambda now: value


@pytest.mark.parametrize("places", [1, 4, 16, 64])
def test_the_limit_settles_a_little_above_the_places_of_the_resource(places: int) -> None:
    limits = Resource(always(places), always(0.02)).run(PROBE_AFTER).between(5.0, PROBE_AFTER)
    assert places <= min(limits)
    # In balance it is 2 places and its own square root.
    assert max(limits) <= 2 * places + math.sqrt(3 * places) + 3


def test_what_never_waits_gets_the_most_within_two_seconds() -> None:
    limits = Resource(always(UNLIMITED), always(0.02)).run(10.0).between(2.0, 10.0)
    assert set(limits) == {MAX_HELD}


@pytest.mark.parametrize("spread", [0.5, 1.0])
def test_durations_that_vary_are_no_queue(spread: float) -> None:
    random = Random(1)
    resource = Resource(always(UNLIMITED), lambda now: 0.02 * math.exp(random.gauss(0, spread)))
    limits = resource.run(15.0).between(3.0, 15.0)
    assert sum(limits) / len(limits) > 0.9 * MAX_HELD


def test_work_shorter_than_the_slack_is_not_limited_by_its_queue() -> None:
    limits = Resource(always(1), always(0.0001)).run(5.0).between(2.0, 5.0)
    assert min(limits) >= 50


def test_the_limit_follows_a_resource_that_shrinks_or_grows() -> None:
    resource = Resource(lambda now: 32 if now < 4.0 or now > 8.0 else 4, always(0.02)).run(12.0)
    assert min(resource.between(3.0, 4.0)) >= 32
    assert max(resource.between(6.0, 8.0)) <= 20
    assert min(resource.between(11.0, 12.0)) >= 32


def test_work_that_takes_longer_for_good_is_not_taken_for_a_queue() -> None:
    limits = Resource(always(UNLIMITED), lambda now: 0.02 if now < 5.0 else 0.1).run(40.0)
    assert min(limits.between(6.0, 15.0)) < 20, "it looks like a queue at first"
    assert set(limits.between(30.0, 40.0)) == {MAX_HELD}


def test_a_limit_that_is_not_reached_stays_as_it_is() -> None:
    limiter, now = Limiter(Adaptive(), MAX_HELD), 0.0
    for _ in range(1000):
        now += 0.02
        limiter.observe(0.02, limiter.limit, now)
    before = limiter.limit
    for latency in (0.02, 1.0):
        for _ in range(3000):
            now += 0.02
            limiter.observe(latency, before // 2 - 1, now)
    assert before == limiter.limit == MAX_HELD


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 100), st.integers(1, 300)), max_size=300),
    st.integers(1, 20),
)
def test_whatever_comes_the_limit_is_between_the_least_and_the_most(
    least: int, most: int, steps: list[tuple[float, float, int]], times: int
) -> None:
    limiter, now = Limiter(Adaptive(least=least), most), 0.0
    for step, latency, in_flight in steps * times:
        now += step
        assert min(least, most) <= limiter.observe(latency, in_flight, now) == limiter.limit <= most


@pytest.mark.parametrize(
    "wrong",
    [{"least": 0}, {"least": 1.5}, {"least": True}, {"tolerance": 1.0}, {"tolerance": math.nan}, {"slack": -0.1}],
)
def test_what_is_not_possible_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"^{next(iter(wrong))} is "):
        Adaptive(**wrong)
