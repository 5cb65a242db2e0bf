"""Sends that wait for a server leave in the order in which they were made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from servicebus import Unavailable
from servicebus.channel_layer.send_order import SendOrder
from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import Server

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


async def test_whoever_is_ready_first_waits_for_those_who_came_before() -> None:
    waiters = Waiters(4)
    await asyncio.sleep(0)
    await waiters.make_ready(3, 1)
    assert (waiters.passed, KEY in waiters.order) == ([], True)
    await waiters.make_ready(0)
    assert waiters.passed == [0, 1]
    await waiters.make_ready(2)
    assert (waiters.passed, bool(waiters.order)) == ([0, 1, 2, 3], False)


async def test_nobody_waits_for_who_is_after_something_else() -> None:
    waiters = Waiters(2, str)
    await asyncio.sleep(0)
    await waiters.make_ready(1)
    assert waiters.passed == [1]
    await waiters.make_ready(0)
    assert not waiters.order


@pytest.mark.parametrize("gone", [0, 1])
async def test_who_goes_away_or_fails_is_not_waited_for_but_those_before_are(gone: int) -> None:
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


async def test_who_waited_for_others_and_goes_away_takes_nobody_along() -> None:
    waiters = Waiters(3)
    await asyncio.sleep(0)
    await waiters.make_ready(1, 2)
    waiters.tasks[1].cancel()
    await waiters.make_ready(0)
    assert waiters.passed == [0, 2]
    await asyncio.gather(*waiters.tasks, return_exceptions=True)


@pytest.mark.parametrize("name", ["jobs", "specific!"])
async def test_sends_at_once_on_a_new_layer_keep_their_order(server: Server, name: str) -> None:
    for _ in range(10):
        layer: Any = RedisChannelLayer([server.url], capacity=1000)
        channel = name if "!" not in name else await layer.new_channel()
        await asyncio.gather(*(layer.send(channel, {"n": n}) for n in range(200)))
        assert [(await layer.receive(channel))["n"] for _ in range(200)] == list(range(200))
        await layer.close_pools()


def test_a_loop_that_ends_with_all_who_wait_leaves_nothing() -> None:
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
