from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from bench.load import Arrivals, closed_loop, instants, open_loop

from ...support.timing import MS


class Counting:
    """A call that takes a while, and counts how many are in flight."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.now = self.most = self.calls = 0

    async def __call__(self, body: str) -> None:
        self.calls += 1
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.seconds)
        self.now -= 1


async def failing(body: str) -> None:
    raise ValueError("no")


async def test_a_closed_loop_keeps_the_given_number_of_calls_in_flight() -> None:
    call = Counting()
    outcome = await closed_loop(call, "x", 7, calls=50)
    assert call.most == 7
    assert outcome.calls == call.calls == len(outcome.latencies) == 50


async def test_a_closed_loop_ends_when_its_time_is_over() -> None:
    outcome = await closed_loop(Counting(), "x", 2, seconds=20 * MS)
    assert outcome.elapsed >= 20 * MS
    assert outcome.report()["calls_per_second"] == pytest.approx(outcome.calls / outcome.elapsed)


async def test_a_closed_loop_with_a_failure_measures_nothing() -> None:
    with pytest.raises(ExceptionGroup):
        await closed_loop(failing, "x", 2, calls=4)


async def test_an_open_loop_does_not_wait_for_answers() -> None:
    call = Counting(seconds=100 * MS)
    outcome = await open_loop(call, "x", 200, 0.2, arrivals="constant")
    assert outcome.calls == 39  # the first after one interval, none at the very end
    assert call.most > 1


async def test_an_open_loop_counts_latency_from_the_instant_a_call_was_due() -> None:
    """If a process stood still for a while, that time counts for every call that it should have sent meanwhile."""
    stalled = False

    async def call(body: str) -> None:
        nonlocal stalled
        if not stalled:
            stalled = True
            time.sleep(0.1)  # noqa: ASYNC251 - the event loop is meant to stand still

    outcome = await open_loop(call, "x", 1000, 0.2, arrivals="constant")
    assert sum(latency > 0.05 for latency in outcome.latencies) >= 40


async def test_an_open_loop_counts_failures_and_gives_them_no_latency() -> None:
    outcome = await open_loop(failing, "x", 500, 0.05, arrivals="constant")
    assert outcome.failed == 24
    assert outcome.calls == len(outcome.latencies) == 0


async def test_an_open_loop_does_not_hold_more_calls_than_it_may() -> None:
    call = Counting(seconds=0.3)
    outcome = await open_loop(call, "x", 1000, 0.05, arrivals="constant", max_pending=10)
    assert call.most == 10
    assert outcome.shed == 49 - outcome.calls


async def test_a_cancelled_open_loop_leaves_no_call_behind() -> None:
    call = Counting(seconds=30.0)
    running = asyncio.create_task(open_loop(call, "x", 1000, 30.0))
    while not call.calls:
        await asyncio.sleep(MS)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_constant_arrivals_are_evenly_spaced() -> None:
    assert list(instants(10, 1.0, "constant", 0)) == pytest.approx([number / 10 for number in range(1, 10)])


def test_poisson_arrivals_have_the_rate_and_vary() -> None:
    found = list(instants(1000, 10.0, "poisson", 1))
    gaps = [later - earlier for earlier, later in itertools.pairwise(found)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert len(found) == pytest.approx(10_000, rel=0.05)
    assert variance == pytest.approx(mean**2, rel=0.1)  # as of an exponential distribution


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_arrivals_are_the_same_for_the_same_seed(arrivals: Arrivals) -> None:
    assert list(instants(100, 1.0, arrivals, 3)) == list(instants(100, 1.0, arrivals, 3))
