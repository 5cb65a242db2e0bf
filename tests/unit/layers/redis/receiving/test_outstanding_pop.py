"""The wait for the end of a pop."""

from __future__ import annotations

import asyncio

from servicebus.layers.redis.receiving.outstanding_pop import OutstandingPop

from .....support.timing import LONG, MS, Stopwatch


async def test_a_wait_ends_with_the_pop() -> None:
    pop = OutstandingPop()
    pop.is_there = True
    waiting = asyncio.create_task(pop.wait(LONG))
    await asyncio.sleep(0)
    pop.end()
    with Stopwatch() as watch:
        await waiting
    assert not pop.is_there
    assert watch.seconds < LONG / 2


async def test_a_wait_is_bounded_and_may_be_repeated() -> None:
    pop = OutstandingPop()
    pop.is_there = True
    await pop.wait(1 * MS)
    assert pop.is_there
    pop.end()
    await pop.wait(LONG)
