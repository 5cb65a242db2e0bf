from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from servicebus.layers.foreign import ForeignLayer, ForeignTiming
from servicebus.layers.foreign.pump_registry import PumpRegistry
from servicebus.layers.foreign.receiver import receive_with_retry
from servicebus.layers.limits import Limits

from ....support.failing_layer import FailingLayer
from ....support.timing import MS, eventually
from ....support.transport import Reader, outcomes, push

CHANNEL = "shop.request"
QUICK = ForeignTiming(first_retry=MS, longest_retry=2 * MS, cancel_within=10 * MS)


async def test_failures_of_receive_are_waited_out(foreign: FailingLayer, layer: ForeignLayer) -> None:
    foreign.receive_errors = [ConnectionError("gone"), OSError("still gone")]
    reader = Reader(layer, CHANNEL)
    push(layer, CHANNEL, range(3))
    await reader.has_read(3)
    assert reader.numbers == [0, 1, 2]


async def test_the_delay_between_attempts_doubles_up_to_the_longest(
    foreign: FailingLayer, caplog: pytest.LogCaptureFixture
) -> None:
    foreign.receive_errors = [OSError("gone") for _ in range(4)]
    await foreign.send(CHANNEL, {"type": "n"})
    timing = ForeignTiming(first_retry=0.001, longest_retry=0.004)
    assert await receive_with_retry(foreign, CHANNEL, timing) == {"type": "n"}
    delays = [record.args[1] for record in caplog.records if isinstance(record.args, tuple)]
    assert delays == [0.001, 0.002, 0.004, 0.004]


async def test_a_value_that_is_no_message_gives_its_credit_back(foreign: FailingLayer, layer: ForeignLayer) -> None:
    reader = Reader(layer, CHANNEL, credit=1)
    await foreign.send(CHANNEL, {"type": "n", "n": object()})
    push(layer, CHANNEL, [1])
    await reader.has_read(1)
    assert reader.numbers == [1]


async def test_a_reader_goes_on_when_another_of_its_channel_stops(foreign: FailingLayer, layer: ForeignLayer) -> None:
    other = ForeignLayer(foreign, Limits())
    stays, goes = Reader(layer, CHANNEL), Reader(other, CHANNEL)
    await outcomes(push(layer, CHANNEL, range(10)))
    await eventually(lambda: len(stays.frames) + len(goes.frames) == 10)
    assert len(stays.frames) == len(goes.frames) == 5, "they take turns"
    await other.close()
    push(layer, CHANNEL, [10])
    await stays.has_read(6)


async def test_readers_of_one_channel_never_receive_at_the_same_time(
    foreign: FailingLayer, layer: ForeignLayer
) -> None:
    readers = [Reader(layer, CHANNEL) for _ in range(3)]
    for number in range(9):
        assert await outcomes(push(layer, CHANNEL, [number])) == {None: 1}
        await eventually(lambda: foreign.receiving.get(CHANNEL) == 1)
    await eventually(lambda: sum(len(reader.frames) for reader in readers) == 9)


async def test_a_reader_without_credit_takes_nothing(foreign: FailingLayer, layer: ForeignLayer) -> None:
    reader = Reader(layer, CHANNEL, credit=1, hold=True)
    assert await outcomes(push(layer, CHANNEL, range(2))) == {None: 2}
    await reader.has_read(1)
    await eventually(lambda: foreign.receiving[CHANNEL] == 0)
    reader.credit.release()
    await reader.has_read(2)
    assert reader.most_held == 1


async def test_a_receive_that_ignores_its_cancellation_is_abandoned(caplog: pytest.LogCaptureFixture) -> None:
    released = asyncio.Event()

    class Deaf(FailingLayer):
        async def receive(self, channel: str) -> dict[str, Any]:
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    continue
            raise asyncio.CancelledError

    layer = ForeignLayer(Deaf(), Limits(), timing=QUICK)
    reader = Reader(layer, CHANNEL)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with caplog.at_level(logging.ERROR):
        await reader.consumer.stop()
    assert "ignores that it was cancelled" in caplog.text
    released.set()
    await layer.close()


async def test_one_pump_serves_all_buses_of_a_loop_until_its_last_reader_stops(foreign: FailingLayer) -> None:
    pumps = PumpRegistry()
    layers = [ForeignLayer(foreign, Limits(), pumps=pumps) for _ in range(2)]
    one, other = (Reader(layer, CHANNEL) for layer in layers)
    first = pumps.pump(foreign, CHANNEL, QUICK)
    assert len(first.readers) == 2
    await one.consumer.stop()
    assert pumps.pump(foreign, CHANNEL, QUICK) is first
    await other.consumer.stop()
    again = Reader(layers[0], CHANNEL)
    assert pumps.pump(foreign, CHANNEL, QUICK) is not first
    await again.consumer.stop()


async def test_channels_and_layers_have_pumps_of_their_own(foreign: FailingLayer) -> None:
    pumps, other = PumpRegistry(), FailingLayer()
    views = [(foreign, CHANNEL), (foreign, "other"), (other, CHANNEL)]
    readers = [Reader(ForeignLayer(one, Limits(), pumps=pumps), channel, worker_id="w") for one, channel in views]
    assert len({id(pumps.pump(one, channel, QUICK)) for one, channel in views}) == 3
    assert pumps.workers(foreign, CHANNEL) == 1
    assert pumps.workers(foreign, "nowhere") == 0
    for reader in readers:
        await reader.consumer.stop()
    assert pumps.workers(foreign, CHANNEL) == 0
