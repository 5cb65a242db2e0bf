from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from channels.utils import await_many_dispatch

from servicebus.layers.redis import RedisChannelLayer

from ...support.channel_tools import (
    SCALE,
    Make,
    drained,
    numbers,
    received,
)
from ...support.timing import (
    LAG,
    LONG,
    MS,
    Stopwatch,
    allowed,
    eventually,
)


async def cancelled_at_random(layer: Any, channel: str, seed: int, count: int, longest: float) -> list[int]:
    """Send ``count`` messages beside receives that are cancelled at random instants; what was received in the end."""
    chance = random.Random(seed)
    got: list[int] = []

    async def send() -> None:
        for n in range(count):
            await layer.send(channel, {"n": n})
            if not n % 3:
                await asyncio.sleep(chance.uniform(0, longest))

    async def receive() -> None:
        task = asyncio.ensure_future(layer.receive(channel))
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        if chance.random() < 0.5:
            await asyncio.sleep(chance.uniform(0, longest))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            got.append((await task)["n"])

    sending = asyncio.ensure_future(send())
    while not sending.done():
        await receive()
    await sending
    return got + [message["n"] for message in await drained(layer, channel)]


@pytest.mark.row(6)
@pytest.mark.parametrize("local", [True, False])
async def test_ten_thousand_cancelled_receives_lose_nothing(make: Make, local: bool) -> None:
    layer = make(capacity=100_000)
    channel = await layer.new_channel() if local else "a"
    count = int(2500 * SCALE)
    got = await cancelled_at_random(layer, channel, seed=1, count=count, longest=2 * MS)
    assert sorted(got) == list(range(count))


async def timed_out(layer: RedisChannelLayer, channel: str, longest: float) -> int:
    """Receive beside sends, and wait for a little longer each time; how many messages were left at the end."""
    got: list[int] = []
    for n in range(100):
        await layer.send(channel, {"n": n})
        with contextlib.suppress(TimeoutError):
            got.append((await asyncio.wait_for(layer.receive(channel), n / 100 * longest))["n"])
    left = [message["n"] for message in await drained(layer, channel)]
    assert got + left == list(range(100))
    return len(left)


async def cancelled(layer: RedisChannelLayer, channel: str, longest: float) -> int:
    """The same with cancelled receives."""
    got: list[int] = []
    for n in range(100):
        await layer.send(channel, {"n": n})
        task = asyncio.ensure_future(layer.receive(channel))
        await asyncio.sleep(n / 100 * longest)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            got.append((await task)["n"])
    left = [message["n"] for message in await drained(layer, channel)]
    assert sorted(got + left) == list(range(100))
    return len(left)


SLOWER = [10 * MS, 40 * MS, 160 * MS]


async def leaves_little(receives: Callable[[float], Awaitable[int]]) -> bool:
    """Where a message takes milliseconds to come because the machine is busy, and only there, they may wait longer."""
    for longest in SLOWER:
        if await receives(longest) < 30:
            return True
        if LAG.worst < longest / 4:
            break
    return False


async def test_receives_that_time_out_at_once_lose_nothing(layer: RedisChannelLayer) -> None:
    channel = await layer.new_channel()
    assert await leaves_little(lambda longest: timed_out(layer, channel, longest))


@pytest.mark.parametrize("local", [True, False])
async def test_a_hundred_receives_cancelled_after_up_to_ten_ms_leave_little(make: Make, local: bool) -> None:
    layer = make()
    channel = await layer.new_channel() if local else "a"
    assert await leaves_little(lambda longest: cancelled(layer, channel, longest))


async def test_waiting_with_a_timeout_is_a_timeout_error(layer: RedisChannelLayer) -> None:
    async def wait(channel: str) -> float:
        with Stopwatch() as watch, pytest.raises(TimeoutError):
            await asyncio.wait_for(layer.receive(channel), 0.3)
        return watch.seconds

    for seconds in await asyncio.gather(wait(await layer.new_channel()), wait("a")):
        assert 0.27 < seconds < allowed(0.8)


async def test_a_message_given_to_a_cancelled_receive_keeps_its_place(plain: RedisChannelLayer) -> None:
    channel = await plain.new_channel()
    first = asyncio.ensure_future(plain.receive(channel))
    await asyncio.sleep(20 * MS)
    sending = asyncio.ensure_future(plain.send(channel, {"n": 0}))
    while plain._process.mailboxes.waiting(channel):
        await asyncio.sleep(0)
        if sending.done():
            break
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await sending
    await plain.send(channel, {"n": 1})
    got = [] if first.cancelled() else [first.result()["n"]]
    assert got + await numbers(plain, channel, 2 - len(got)) == [0, 1]


async def test_the_receive_that_waits_longest_is_served_first(layer: RedisChannelLayer) -> None:
    channel = await layer.new_channel()
    waiting = [asyncio.ensure_future(layer.receive(channel)) for _ in range(10)]
    await eventually(lambda: layer._process.mailboxes.waiting(channel) == len(waiting))
    waiting[3].cancel()
    await asyncio.gather(waiting[3], return_exceptions=True)
    for n in range(9):
        await layer.send(channel, {"n": n})
    rest = [one for one in waiting if one is not waiting[3]]
    assert [(await asyncio.wait_for(one, LONG))["n"] for one in rest] == list(range(9))


async def test_consumers_that_make_a_task_per_message_and_cancel_on_exit(layer: RedisChannelLayer) -> None:
    """As AsyncConsumer does it: one task per receive, cancelled when the consumer ends, nothing lost between them."""
    channel = await layer.new_channel()
    got: list[int] = []

    async def dispatch(message: dict[str, Any]) -> None:
        got.append(message["n"])

    async def consumer() -> None:
        await await_many_dispatch([lambda: layer.receive(channel)], dispatch)

    for start in range(0, 60, 20):
        task = asyncio.ensure_future(consumer())
        for n in range(start, start + 20):
            await layer.send(channel, {"n": n})
            await asyncio.sleep(1 * MS)
        await asyncio.sleep(20 * MS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    got += [message["n"] for message in await drained(layer, channel)]
    assert got == list(range(60))


async def test_a_cancelled_send_or_group_operation_disturbs_nothing(layer: RedisChannelLayer) -> None:
    channel = await layer.new_channel()
    for n in range(50):
        for work in (
            layer.send("a", {"n": n}),
            layer.group_add("g", channel),
            layer.group_send("g", {"n": n}),
            layer.group_discard("g", channel),
        ):
            task = asyncio.ensure_future(work)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    await drained(layer, "a")
    await drained(layer, channel)
    await layer.group_add("g", channel)
    await layer.group_send("g", {"n": 1})
    assert (await received(layer, channel))["n"] == 1
