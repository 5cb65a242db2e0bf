"""Sends that wait for a server leave in the order in which they were made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from servicebus import Unavailable
from servicebus.channel_layer.send_order import SendOrder

KEY = "jobs"


class Waiters:
    """Tasks that take order, each ready when it is told so, and what came of them in order."""

    def __init__(self, number: int, key: Callable[[int], str] = lambda _: KEY) -> None:
        self.order = SendOrder()
        self.passed: list[int] = []
        self.ready: list[asyncio.Future[None]] = [asyncio.get_running_loop().create_future() for _ in range(number)]
        self.tasks = [asyncio.create_task(self._pass(n, key(n))) for n in range(number)]

    async def _pass(self, number: int, key: str) -> None:
        with self.order.place(key) as place:
            await self.ready[number]
            await place.first()
        self.passed.append(number)

    async def make_ready(self, *numbers: int) -> None:
        for number in numbers:
            self.ready[number].set_result(None)
        for _ in range(4 * len(self.tasks)):
            await asyncio.sleep(0)


async def test_a_send_waits_for_the_sends_before_it() -> None:
    waiters = Waiters(4)
    await asyncio.sleep(0)
    await waiters.make_ready(3, 1)
    assert (waiters.passed, KEY in waiters.order) == ([], True)
    await waiters.make_ready(0)
    assert waiters.passed == [0, 1]
    await waiters.make_ready(2)
    assert (waiters.passed, bool(waiters.order)) == ([0, 1, 2, 3], False)


async def test_sends_to_different_channels_do_not_wait_for_each_other() -> None:
    waiters = Waiters(2, str)
    await asyncio.sleep(0)
    await waiters.make_ready(1)
    assert waiters.passed == [1]
    await waiters.make_ready(0)
    assert not waiters.order


@pytest.mark.parametrize("gone", [0, 1])
async def test_a_send_that_fails_is_not_waited_for_but_those_before_are(gone: int) -> None:
    for fail in (False, True):
        waiters = Waiters(3)
        await asyncio.sleep(0)
        if fail:
            waiters.ready[gone].set_exception(Unavailable("no server"))
        else:
            waiters.tasks[gone].cancel()
        await waiters.make_ready(2)
        assert waiters.passed == []
        assert waiters.tasks[gone].done()
        await waiters.make_ready(1 - gone)
        assert waiters.passed == [1 - gone, 2]
        assert not waiters.order
        await asyncio.gather(*waiters.tasks, return_exceptions=True)


async def test_a_cancelled_send_does_not_end_the_sends_after_it() -> None:
    waiters = Waiters(3)
    await asyncio.sleep(0)
    await waiters.make_ready(1, 2)
    waiters.tasks[1].cancel()
    await waiters.make_ready(0)
    assert waiters.passed == [0, 2]
    await asyncio.gather(*waiters.tasks, return_exceptions=True)


def test_a_loop_that_ends_with_waiting_sends_leaves_nothing() -> None:
    order = SendOrder()

    async def wait() -> None:
        with order.place(KEY) as place:
            await asyncio.sleep(30)
            await place.first()

    async def program() -> None:
        waiting = [asyncio.create_task(wait()) for _ in range(50)]
        await asyncio.sleep(0)
        assert len(waiting) == 50
        assert order

    for _ in range(5):
        asyncio.run(program())
        assert not order
