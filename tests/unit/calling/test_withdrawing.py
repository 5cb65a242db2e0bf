"""Calls end once and in time, whatever the layer and the observer do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from servicebus import DeadlineExceeded, Service, ServiceBus, Unavailable
from servicebus.testing.layer_wrapper import LayerWrapper

from ...support.shop import CHANNEL, Count
from ...support.timing import LONG, MS, eventually

HANGS = object()
BROKEN = [TypeError("odd"), ValueError("odd"), Unavailable("gone"), OSError("gone"), 0, None, True, b"odd", [1], HANGS]
"""What a method of a layer raises or returns that it should not, or does."""


class Broken(LayerWrapper):
    """A layer whose ``withdraw`` and ``worker_ids`` do what they should not."""

    def __init__(self, layer: Any, what: Any) -> None:
        super().__init__(layer)
        self._what = what

    async def withdraw(self, *deliveries: Any) -> Any:
        return await self._fail()

    async def worker_ids(self, channel: str) -> Any:
        return await self._fail()

    async def _fail(self) -> Any:
        if isinstance(self._what, Exception):
            raise self._what
        if self._what is HANGS:
            await asyncio.sleep(LONG)
        return self._what


def never_ending() -> Service:
    service = Service("shop")

    @service.handler
    async def count(request: Count) -> int:
        await asyncio.sleep(LONG)
        return request.upto

    return service


@pytest.mark.parametrize("what", BROKEN)
async def test_a_call_ends_at_its_deadline_whatever_the_layer_does(fresh_hub: str, what: Any) -> None:
    async with (
        ServiceBus(fresh_hub, wrap_layer=lambda layer: Broken(layer, what)) as bus,
        bus.serving(never_ending(), drain=0.01),
    ):
        calls = [bus.call(CHANNEL, Count(upto=number), timeout=20 * MS) for number in range(3)]
        async with asyncio.timeout(LONG / 2):
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [DeadlineExceeded] * 3
        assert bus.pending == 0


@pytest.mark.parametrize("what", BROKEN)
async def test_a_cancelled_call_leaves_no_task_whatever_the_layer_does(fresh_hub: str, what: Any) -> None:
    async with (
        ServiceBus(fresh_hub, wrap_layer=lambda layer: Broken(layer, what)) as bus,
        bus.serving(never_ending(), drain=0.01),
    ):
        call = asyncio.create_task(bus.call(CHANNEL, Count()))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await eventually(lambda: bus.session.caller.is_idle)
        assert bus.pending == 0


class NoPush(LayerWrapper):
    """A layer that cannot push."""

    def push(self, delivery: Any) -> None:
        raise RuntimeError("no push")


async def test_a_call_that_the_layer_refuses_to_push_is_not_kept(fresh_hub: str) -> None:
    async with ServiceBus(fresh_hub, wrap_layer=NoPush) as bus:
        with pytest.raises(RuntimeError, match="no push"):
            await bus.call(CHANNEL, Count())
        assert bus.pending == 0


class Raising:
    """An observer that raises at every moment."""

    def sent(self, message: Any) -> None:
        raise RuntimeError("sent")

    def settled(self, message: Any, error: Any) -> None:
        raise RuntimeError("settled")

    def started(self, channel: str, message: Any) -> None:
        raise RuntimeError("started")

    def finished(self, channel: str, message: Any, error_code: str) -> None:
        raise RuntimeError("finished")


async def test_an_observer_that_raises_disturbs_no_message(fresh_hub: str, caplog: pytest.LogCaptureFixture) -> None:
    service, taken = Service("shop"), list[int]()

    @service.handler
    async def count(request: Count) -> int:
        taken.append(request.upto)
        return request.upto

    async with ServiceBus(fresh_hub, observer=Raising()) as bus, bus.serving(service, concurrency=1):
        async with asyncio.timeout(LONG):
            for number in range(3):
                assert await bus.call(CHANNEL, Count(upto=number)) == number
                await bus.send(CHANNEL, Count(upto=number))
        await eventually(lambda: len(taken) == 6)
    for method in ("sent", "settled", "started", "finished"):
        assert caplog.text.count(f"observer's {method}() failed") == 1
