from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.foundation import running_time
from servicebus.foundation.event_loop import loop_factory
from servicebus.foundation.running_time import LATE, REMEMBERED, WAKE_INTERVAL, Standstills

from ...support.timing import LONG, stand_still

gaps = st.lists(st.one_of(st.floats(0.0, WAKE_INTERVAL + LATE), st.floats(0.0, 20.0)), max_size=REMEMBERED)
STILL = 1.0
"""Seconds for which a loop is held up: longer than any lag of a busy machine that a test must tell it from."""


def loops() -> list[Callable[[], asyncio.AbstractEventLoop]]:
    """The loop of asyncio, and that of uvloop where it is installed: they read sockets and timers in another order."""
    fast = loop_factory()
    return [asyncio.new_event_loop, *([fast] if fast else [])]


def ticked(gaps: list[float]) -> tuple[Standstills, float]:
    """Ticks after these gaps, and the instant of the last one. The first was at 0."""
    standstills, now = Standstills(0.0), 0.0
    for gap in gaps:
        now += gap
        standstills.tick(now)
    return standstills, now


@given(gaps, st.floats(0.0, 20.0))
def test_the_time_of_late_ticks_does_not_count(gaps: list[float], since_last: float) -> None:
    standstills, last = ticked(gaps)
    now = last + since_last
    late = sum(max(0.0, gap - WAKE_INTERVAL - LATE) for gap in [*gaps, since_last])
    assert standstills.during(0.0, now) == pytest.approx(late, abs=1e-6)
    assert standstills.until(now) == pytest.approx(late, abs=1e-6)


@given(gaps, st.floats(0.0, 20.0), st.floats(0.0, 1.0))
def test_a_standstill_is_never_longer_than_the_time_asked_for(
    gaps: list[float], since_last: float, share: float
) -> None:
    standstills, last = ticked(gaps)
    now = last + since_last
    since = now * share
    assert 0.0 <= standstills.during(since, now) <= now - since + 1e-6


@given(gaps, st.floats(0.0, 20.0), st.floats(0.0, 20.0))
def test_running_time_never_goes_back(gaps: list[float], first: float, second: float) -> None:
    standstills, last = ticked(gaps)
    before = last + first - standstills.until(last + first)
    standstills.tick(last + first)
    after = last + first + second - standstills.until(last + first + second)
    assert after >= before - 1e-6


def test_of_many_standstills_the_oldest_are_forgotten() -> None:
    standstills, now = ticked([1.0] * 2 * REMEMBERED)
    assert standstills.during(0.0, now) == pytest.approx(REMEMBERED * (1.0 - WAKE_INTERVAL - LATE))


@pytest.mark.parametrize("new_loop", loops())
def test_a_timer_of_running_time_does_not_count_a_standstill(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> float:
        running, loop, fired = running_time.of_running_loop(), asyncio.get_running_loop(), asyncio.Event()
        running.start()
        began = loop.time()
        running.call_later(WAKE_INTERVAL, fired.set)
        stand_still(STILL)
        async with asyncio.timeout(LONG):
            await fired.wait()
        running.stop()
        return loop.time() - began

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(main()) >= STILL + WAKE_INTERVAL - (WAKE_INTERVAL + LATE) - 0.01


@pytest.mark.parametrize("new_loop", loops())
def test_sockets_are_read_before_a_timer_of_running_time(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Whatever the other side has said by then counts, although the timer is due since before."""

    async def main() -> list[str]:
        running, loop, seen = running_time.of_running_loop(), asyncio.get_running_loop(), list[str]()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        done = asyncio.Event()

        def end() -> None:
            seen.append("due")
            done.set()

        loop.add_reader(ours, lambda: seen.extend(["read"] if ours.recv(10) else []))
        running.call_later(0.01, end)
        await asyncio.sleep(0)
        stand_still(0.05)
        theirs.send(b"x")
        async with asyncio.timeout(LONG):
            await done.wait()
        loop.remove_reader(ours)
        ours.close()
        theirs.close()
        return seen

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(main()) == ["read", "due"]


async def test_who_subscribed_is_told_of_a_standstill_that_is_over() -> None:
    running, told = running_time.of_running_loop(), asyncio.Queue[float]()
    running.start()
    running.subscribe(told.put_nowait)
    stand_still(STILL)
    async with asyncio.timeout(LONG):
        stood = await told.get()
    running.unsubscribe(told.put_nowait)
    running.stop()
    assert stood >= STILL - WAKE_INTERVAL - LATE


async def test_a_timeout_in_running_time_lets_work_end_after_a_standstill() -> None:
    running, loop = running_time.of_running_loop(), asyncio.get_running_loop()
    running.start()
    answer = loop.create_future()
    loop.call_later(STILL + 0.01, answer.set_result, "heard")
    async with running_time.timeout(0.8):
        stand_still(STILL)
        assert await answer == "heard"
    running.stop()


async def test_a_timeout_in_running_time_ends_what_takes_too_long() -> None:
    with pytest.raises(TimeoutError):
        async with running_time.timeout(0.01):
            await asyncio.sleep(LONG)


async def test_a_cancelled_timer_of_running_time_does_nothing() -> None:
    called = list[int]()
    timer = running_time.of_running_loop().call_later(0.0, lambda: called.append(1))
    await asyncio.sleep(0)
    timer.cancel()
    await asyncio.sleep(0.01)
    assert not called


async def test_without_a_user_all_time_counts() -> None:
    running, loop = running_time.of_running_loop(), asyncio.get_running_loop()
    began = loop.time()
    stand_still(STILL)
    await asyncio.sleep(0)
    assert running.elapsed(began) >= STILL
    assert running.stood_still(began, loop.time()) == 0.0


def test_the_table_of_loops_keeps_no_closed_loop() -> None:
    async def used() -> weakref.ref[asyncio.AbstractEventLoop]:
        running = running_time.of_running_loop()
        running.start()
        running.stop()
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(used())
    gc.collect()
    assert loop() is None
