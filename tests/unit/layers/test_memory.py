from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from servicebus import NoWorkers
from servicebus.layers.layer import Layer
from servicebus.layers.limits import Limits
from servicebus.layers.memory import Hub, MemoryLayer

from ...support.timing import MS, eventually
from ...support.transport import (
    Layers,
    Reader,
    left_in,
    outcomes,
    push,
    pushed,
)

CHANNEL = "shop.request"


@pytest.fixture
def hub(request: pytest.FixtureRequest) -> Iterator[str]:
    """A name of its own; the hub is forgotten after the test."""
    name = f"test-{request.node.name}"
    yield name
    for known in [known for known in Hub._named if name in known]:
        del Hub._named[known]


def in_thread(work: Callable[[], Coroutine[Any, Any, None]]) -> threading.Thread:
    """Runs ``work`` on an event loop in a thread of its own."""
    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    return thread


async def all_ended(threads: list[threading.Thread]) -> None:
    for thread in threads:
        await asyncio.to_thread(thread.join, 30)


async def opened(name: str, **limits: Any) -> MemoryLayer:
    layer = MemoryLayer(name, Limits(**limits))
    await layer.open()
    return layer


async def test_loops_in_several_threads_share_a_hub_and_each_message_is_delivered_once(hub: str) -> None:
    numbers, total, lock = list[int](), 4 * 500, threading.Lock()
    enough = threading.Event()

    async def receive() -> None:
        layer = await opened(hub)
        reader = Reader(layer, CHANNEL, credit=10)
        seen = 0
        while not enough.is_set():
            await asyncio.sleep(MS)
            with lock:
                numbers.extend(reader.numbers[seen:])
                seen += len(reader.numbers[seen:])
                if len(numbers) >= total:
                    enough.set()
        await layer.close()

    async def send(sender: int) -> None:
        layer = await opened(hub)
        for number in range(sender * 500, sender * 500 + 500):
            await pushed(layer, CHANNEL, [number])
        await layer.close()

    threads = [in_thread(receive) for _ in range(2)] + [in_thread(lambda s=n: send(s)) for n in range(4)]  # type: ignore[misc]
    await all_ended(threads)
    assert sorted(numbers) == list(range(total))


async def test_capacity_is_exact_across_threads(hub: str) -> None:
    taken = list[int]()

    async def send() -> None:
        layer = await opened(hub, capacity=100)
        for _ in range(20):
            taken.append((await outcomes(push(layer, CHANNEL, range(10)))).get(None, 0))
        await layer.close()

    threads = [in_thread(send) for _ in range(4)]
    await all_ended(threads)
    assert sum(taken) == 100
    layer = await opened(hub)
    assert len(await left_in(layer, CHANNEL)) == 100
    await layer.close()


async def test_a_worker_whose_loop_was_closed_without_a_word_counts_no_more(hub: str) -> None:
    async def die() -> None:
        await Reader(await opened(hub), CHANNEL, worker_id="w1").consumer.ready()

    await asyncio.to_thread(lambda: asyncio.run(die()))
    layer = await opened(hub)
    assert await layer.workers(CHANNEL) == 0
    assert await outcomes(push(layer, CHANNEL, [1], needs_worker=True)) == {NoWorkers: 1}
    await pushed(layer, CHANNEL, [2])
    await layer.close()


async def test_two_names_are_two_hubs(hub: str) -> None:
    here, there = Layers(f"memory://{hub}"), Layers(f"memory://{hub}-other")
    one, other = await here.open(), await there.open()
    await pushed(one, CHANNEL, [1])
    assert await left_in(other, CHANNEL) == []
    assert await left_in(one, CHANNEL) == [1]
    await here.close()
    await there.close()


async def test_a_message_that_lay_for_longer_than_its_expiry_is_never_delivered(hub: str) -> None:
    layer: Layer = await opened(hub, expiry=0.3)
    await pushed(layer, CHANNEL, range(3))
    await asyncio.sleep(320 * MS)
    await pushed(layer, CHANNEL, [3])
    reader = Reader(layer, CHANNEL)
    await eventually(lambda: bool(reader.frames))
    assert reader.numbers == [3]
    await layer.close()


async def test_expired_messages_take_no_room(hub: str) -> None:
    layer = await opened(hub, expiry=0.05, capacity=3)
    await pushed(layer, CHANNEL, range(3))
    await asyncio.sleep(60 * MS)
    await pushed(layer, CHANNEL, range(3))
    await layer.close()
