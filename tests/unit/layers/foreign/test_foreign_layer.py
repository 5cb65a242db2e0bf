"""A bus on a foreign layer when things go wrong: on the layer, on the way, or in its settings."""

from __future__ import annotations

import asyncio

import pytest

from servicebus import (
    ChannelFull,
    ConfigurationError,
    DeadlineExceeded,
    RemoteError,
    SendUnknown,
    ServiceBus,
    Unavailable,
)
from servicebus.layers.foreign import ForeignLayer, ForeignTiming
from servicebus.layers.limits import Limits

from ....support.failing_layer import FailingLayer
from ....support.shop import CHANNEL, Count, Placed, calling, counter
from ....support.timing import MS, eventually
from ....support.transport import Delivery


async def test_a_message_that_a_full_channel_refuses_was_not_sent(foreign: FailingLayer, foreign_url: str) -> None:
    foreign.capacity = 3
    async with ServiceBus(foreign_url) as bus:
        for n in range(3):
            await bus.send("stuck", {"type": "n", "n": n})
        with pytest.raises(ChannelFull) as full:
            await bus.send("stuck", {"type": "n", "n": 3})
        with pytest.raises(ChannelFull):
            await bus.call("stuck", {"type": "n", "n": 4})
    assert (full.value.channel, full.value.capacity, full.value.executed) == ("stuck", 3, "no")


async def test_after_any_other_failure_it_is_unknown_whether_it_was_sent(
    foreign: FailingLayer, foreign_url: str
) -> None:
    foreign.send_error = ConnectionResetError("gone")
    async with ServiceBus(foreign_url) as bus:
        with pytest.raises(SendUnknown, match="ConnectionResetError: gone") as unknown:
            await bus.call(CHANNEL, Count(upto=1))
        with pytest.raises(SendUnknown):
            await bus.publish("orders.placed", Placed("o-1"))
    assert unknown.value.executed == "maybe"
    assert unknown.value.__cause__ is foreign.send_error


async def test_without_a_channel_for_its_reply_a_call_is_not_sent(
    foreign: FailingLayer, foreign_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails() -> str:
        raise ConnectionError("gone")

    monkeypatch.setattr(foreign, "new_channel", fails)
    async with ServiceBus(foreign_url) as bus:
        with pytest.raises(Unavailable, match="gone") as error:
            await bus.call(CHANNEL, Count(upto=1))
    assert error.value.executed == "no"
    assert foreign.sent == []


async def test_a_type_error_of_a_layer_without_a_serializer_proves_nothing(
    foreign: FailingLayer, foreign_url: str
) -> None:
    foreign.send_error = TypeError("in the middle of it")
    async with ServiceBus(foreign_url) as bus:
        with pytest.raises(SendUnknown):
            await bus.send(CHANNEL, {"type": "n"})


async def test_a_call_that_waits_behind_a_slow_layer_was_never_started(foreign: FailingLayer, foreign_url: str) -> None:
    foreign.hold.clear()
    async with ServiceBus(foreign_url) as bus:
        calls = [asyncio.create_task(bus.call(CHANNEL, Count(upto=n), timeout=50 * MS)) for n in range(3)]
        late = await asyncio.gather(*calls, return_exceptions=True)
        foreign.hold.set()
    assert [getattr(error, "executed", None) for error in late] == ["maybe", "no", "no"]
    assert all(isinstance(error, DeadlineExceeded) for error in late)


async def test_bytes_stay_bytes(foreign_url: str) -> None:
    async with calling(foreign_url, counter()) as bus:
        reply = await bus.call(CHANNEL, {"type": "echo", "raw": b"\x00\xff", "text": "x", "deep": [{"raw": b""}]})
        assert (reply["raw"], reply["text"], reply["deep"]) == (b"\x00\xff", "x", [{"raw": b""}])


async def test_every_call_has_its_own_reply_channel_which_is_gone_after_it(
    foreign: FailingLayer, foreign_url: str
) -> None:
    async with calling(foreign_url, counter()) as bus:
        await bus.gather(*((CHANNEL, Count(upto=n)) for n in range(50)))
        names = [message["reply_channel"] for channel, message in foreign.sent if channel == CHANNEL]
        assert len(set(names)) == 50
        assert set(foreign.channels) <= {CHANNEL, "shop.events"}


async def test_a_second_reply_to_a_call_reaches_no_other_call(foreign: FailingLayer, foreign_url: str) -> None:
    async with ServiceBus(foreign_url, timeout=2.0) as bus:
        calls = [asyncio.create_task(bus.call(CHANNEL, Count(upto=n))) for n in range(2)]
        first, second = [await foreign.receive(CHANNEL) for _ in calls]
        for _ in range(2):
            await foreign.send(first["reply_channel"], {"type": "reply", "body": "first"})
        await foreign.send(second["reply_channel"], {"type": "reply", "body": 2})
        with pytest.raises(RemoteError, match="reply_invalid"):
            await calls[0]
        assert await calls[1] == 2
        assert bus.counters.late_replies == 0


async def test_a_cancelled_call_is_not_received_for_until_its_deadline(foreign: FailingLayer, foreign_url: str) -> None:
    async with ServiceBus(foreign_url) as bus:
        calls = [asyncio.create_task(bus.call(CHANNEL, Count(upto=n), timeout=3600.0)) for n in range(5)]
        await eventually(lambda: len(foreign.sent) == 5)
        before = asyncio.all_tasks()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await eventually(lambda: len(asyncio.all_tasks() & before) <= len(before) - 15)
        assert set(foreign.channels) <= {CHANNEL}


async def test_closing_a_bus_ends_its_pending_calls(foreign: FailingLayer, foreign_url: str) -> None:
    async with ServiceBus(foreign_url) as bus:
        call = asyncio.create_task(bus.call(CHANNEL, Count(upto=1), timeout=60.0))
        await eventually(lambda: len(foreign.sent) == 1)
    with pytest.raises(SendUnknown, match="closed"):
        await call


async def test_events_need_a_layer_with_groups(
    foreign: FailingLayer, foreign_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "extensions", [], raising=False)
    async with ServiceBus(foreign_url) as bus:
        with pytest.raises(ConfigurationError, match="FailingLayer has no groups"):
            await bus.publish("orders.placed", Placed("o-1"))
        with pytest.raises(ConfigurationError, match="FailingLayer has no groups"):
            async with bus.serving(counter()):
                pass


async def test_a_frame_that_waits_is_judged_by_the_given_clock(foreign: FailingLayer) -> None:
    now = [1_000]
    layer = ForeignLayer(foreign, Limits(), now_ms=lambda: now[0])
    assert layer.now_ms() == 1_000
    delivery = Delivery(layer, CHANNEL, 1)
    now[0] += 60_000
    layer.push(delivery)
    assert isinstance(await delivery.outcome(), Unavailable)
    await layer.close()


async def test_a_layer_that_hangs_is_given_up(foreign: FailingLayer) -> None:
    layer = ForeignLayer(foreign, Limits(), timing=ForeignTiming(send_within=30 * MS))
    foreign.hold.clear()
    delivery = Delivery(layer, CHANNEL, 1)
    layer.push(delivery)
    error = await delivery.outcome()
    assert isinstance(error, SendUnknown)
    assert "TimeoutError" in str(error)
    await layer.close()
