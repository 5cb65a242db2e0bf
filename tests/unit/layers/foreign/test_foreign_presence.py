from __future__ import annotations

import asyncio

import pytest

from servicebus import ServiceBus, Unavailable
from servicebus.layers.foreign import ForeignLayer, ForeignTiming
from servicebus.layers.foreign.presence import PING
from servicebus.layers.limits import Limits

from ....support.failing_layer import FailingLayer
from ....support.shop import CHANNEL, counter
from ....support.timing import MS, eventually
from ....support.transport import Reader


async def test_questions_without_an_answer_leave_one_message(foreign: FailingLayer, foreign_url: str) -> None:
    layer = ForeignLayer(foreign, Limits(), timing=ForeignTiming(probe_within=10 * MS))
    for _ in range(5):
        assert await layer.workers(CHANNEL) == 0
    assert [channel for channel, _ in foreign.sent] == [CHANNEL]
    async with ServiceBus(foreign_url) as worker, worker.serving(counter()):
        await eventually(lambda: len(foreign.sent) == 2)
        assert await layer.workers(CHANNEL) == 1
        assert (worker.counters.handled, worker.counters.rejected_frames) == (0, 0)
    await layer.close()


async def test_any_answer_proves_that_somebody_serves_the_channel(foreign: FailingLayer, layer: ForeignLayer) -> None:
    asking = asyncio.create_task(layer.workers(CHANNEL))
    probe = await foreign.receive(CHANNEL)
    assert probe["type"] == PING
    await foreign.send(probe["reply_channel"], {"type": "error", "code": "unknown_operation"})
    assert await asking == 1


async def test_a_cancelled_question_leaves_its_probe_to_the_next(foreign: FailingLayer, layer: ForeignLayer) -> None:
    asking = asyncio.create_task(layer.workers(CHANNEL))
    probe = await foreign.receive(CHANNEL)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    again = asyncio.create_task(layer.workers(CHANNEL))
    await foreign.send(probe["reply_channel"], {"type": "reply", "body": 1})
    assert await again == 1
    assert [channel for channel, _ in foreign.sent] == [CHANNEL, probe["reply_channel"]]


async def test_a_channel_that_cannot_be_asked_has_no_known_worker(foreign: FailingLayer, foreign_url: str) -> None:
    async with ServiceBus(foreign_url) as bus:
        foreign.send_error = ConnectionError("gone")
        with pytest.raises(Unavailable, match="gone"):
            await bus.workers(CHANNEL)
        foreign.send_error, foreign.capacity = None, 1
        await bus.send(CHANNEL, {"type": "n"})
        assert await bus.workers(CHANNEL) == 0


async def test_a_worker_of_this_process_is_counted_without_a_probe(foreign: FailingLayer, layer: ForeignLayer) -> None:
    other = ForeignLayer(foreign, Limits(), timing=ForeignTiming(probe_within=5 * MS))
    Reader(other, CHANNEL, worker_id="w1")
    Reader(other, CHANNEL)
    assert await layer.workers(CHANNEL) == 1
    assert foreign.sent == []
    await other.leave(CHANNEL, "w1")
    assert await other.workers(CHANNEL) == 0
    await other.close()
