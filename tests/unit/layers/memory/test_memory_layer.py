"""The layer in memory: threads, and the clock that a test gives to its hub. The conformance suite has the rest."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from servicebus import NoWorkers
from servicebus.layers.limits import Limits
from servicebus.layers.memory import Hub, MemoryLayer
from servicebus.layers.memory.clock import Clock

from ....support.timing import MS, eventually
from ....support.transport import Reader, left_in, outcomes, push, pushed

CHANNEL = "shop.request"


class SetClock:
    """A clock that shows what the test sets. ``clock`` is what the hub is given."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.clock = Clock(lambda: self.seconds, epoch_ms=1_000_000)


def in_thread(work: Callable[[], Coroutine[Any, Any, None]]) -> threading.Thread:
    """Run ``work`` on an event loop in a thread."""
    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    return thread


async def all_ended(threads: list[threading.Thread]) -> None:
    for thread in threads:
        await asyncio.to_thread(thread.join, 30)


@pytest.fixture
def hub() -> Hub:
    return Hub()


async def opened(hub: Hub, **limits: Any) -> MemoryLayer:
    layer = MemoryLayer(hub, Limits(**limits))
    await layer.open()
    return layer


async def test_loops_in_several_threads_get_each_message_once(hub: Hub) -> None:
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


async def test_capacity_is_exact_across_threads(hub: Hub) -> None:
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


async def test_a_worker_whose_loop_was_closed_no_longer_counts(hub: Hub) -> None:
    async def die() -> None:
        await Reader(await opened(hub), CHANNEL, worker_id="w1").consumer.ready()

    await asyncio.to_thread(lambda: asyncio.run(die()))
    layer = await opened(hub)
    assert await layer.workers(CHANNEL) == 0
    assert await layer.worker_ids(CHANNEL) == []
    assert await outcomes(push(layer, CHANNEL, [1], needs_worker=True)) == {NoWorkers: 1}
    await pushed(layer, CHANNEL, [2])
    await layer.close()


async def test_an_expired_message_is_never_delivered_and_takes_no_room() -> None:
    clock = SetClock()
    layer = await opened(Hub(clock.clock), expiry=10.0, capacity=3)
    await pushed(layer, CHANNEL, range(3))
    clock.seconds = 10.0
    await pushed(layer, CHANNEL, range(3, 6))
    reader = Reader(layer, CHANNEL)
    await eventually(lambda: len(reader.frames) == 3)
    assert reader.numbers == [3, 4, 5]
    await layer.close()


async def test_a_subscription_ends_an_expiry_after_it_was_given_up() -> None:
    clock = SetClock()
    layer = await opened(Hub(clock.clock), expiry=10.0)
    await layer.subscribe("orders.placed", "shop.events")
    clock.seconds = 100.0
    layer.unsubscribe("orders.placed", "shop.events")
    assert await layer.subscribers("orders.placed") == ["shop.events"]
    clock.seconds = 110.0
    assert await layer.subscribers("orders.placed") == []


async def test_the_time_of_day_is_that_of_the_hub() -> None:
    clock = SetClock()
    layer = await opened(Hub(clock.clock))
    clock.seconds = 1.5
    assert layer.now_ms() == 1_001_500


WHO: ContextVar[str] = ContextVar("WHO")


async def test_a_sink_runs_in_the_context_that_consumes(hub: Hub) -> None:
    """Not in the context of the sender, whether the sender is on this loop or on another."""
    seen: list[str] = []

    class ContextReader(Reader):
        def _sink(self, frames: list[bytes], fence: int) -> None:
            seen.append(WHO.get())
            super()._sink(frames, fence)

    async def send() -> None:
        WHO.set("sender")
        await pushed(await opened(hub), CHANNEL, [1])

    layer = await opened(hub)
    WHO.set("reader")
    reader = ContextReader(layer, CHANNEL)
    await asyncio.create_task(send())
    await reader.has_read(1)
    await asyncio.to_thread(lambda: asyncio.run(send()))
    await reader.has_read(2)
    assert seen == ["reader", "reader"]
    await layer.close()
