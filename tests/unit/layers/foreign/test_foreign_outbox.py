from __future__ import annotations

import asyncio
from typing import Any

from servicebus import DeadlineExceeded, InvalidRequest, Overloaded, SendUnknown, Unavailable
from servicebus.layers.foreign import ForeignLayer, ForeignTiming
from servicebus.layers.foreign.outbox import GROUP, ForeignSender, Outbox
from servicebus.layers.limits import Limits
from servicebus.protocol.codec import encode_frame

from ....support.failing_layer import FailingLayer
from ....support.timing import MS, eventually
from ....support.transport import Delivery, outcomes, push

CHANNEL = "shop.request"


async def test_an_expired_message_is_never_sent(foreign: FailingLayer) -> None:
    now = [1_000]
    layer = ForeignLayer(foreign, Limits(), now_ms=lambda: now[0])
    foreign.hold.clear()
    first, second, third = (Delivery(layer, CHANNEL, n) for n in range(3))
    second.frame = encode_frame(0, 1_020, "", {"type": "n", "n": 1}, 1000)
    third.frame = encode_frame(0, 1_020, "", {"type": "n", "n": 2, "deadline": 1_020}, 1000)
    for delivery in (first, second, third):
        layer.push(delivery)
    await asyncio.sleep(0)
    now[0] = 1_020
    foreign.hold.set()
    assert await first.outcome() is None
    assert isinstance(await second.outcome(), Unavailable)
    late = await third.outcome()
    assert isinstance(late, DeadlineExceeded)
    assert late.stage == "queued"
    assert [message["n"] for _, message in foreign.sent] == [0]
    await layer.close()


async def test_more_bytes_than_may_wait_are_refused(foreign: FailingLayer) -> None:
    layer = ForeignLayer(foreign, Limits(), max_waiting_bytes=1000)
    foreign.hold.clear()
    deliveries = push(layer, CHANNEL, ["x" * 100 for _ in range(12)])
    foreign.hold.set()
    found = await outcomes(deliveries)
    assert found[Overloaded] > 0
    assert found[None] + found[Overloaded] == 12
    assert await outcomes(push(layer, CHANNEL, range(3))) == {None: 3}, "there is room again"
    await layer.close()


async def test_only_what_has_not_left_can_be_taken_back(foreign: FailingLayer, layer: ForeignLayer) -> None:
    foreign.hold.clear()
    deliveries = push(layer, CHANNEL, range(3))
    await asyncio.sleep(0)
    assert await layer.withdraw(*deliveries) == deliveries[1:]
    foreign.hold.set()
    assert await deliveries[0].outcome() is None
    assert await layer.withdraw(*deliveries) == []
    assert len(foreign.sent) == 1


async def test_a_frame_that_holds_no_message_is_refused(layer: ForeignLayer) -> None:
    delivery = Delivery(layer, CHANNEL, 1)
    delivery.frame = b"\xc1"
    layer.push(delivery)
    assert isinstance(await delivery.outcome(), InvalidRequest)


async def test_closing_waits_a_moment_for_a_layer_that_hangs(foreign: FailingLayer) -> None:
    layer = ForeignLayer(foreign, Limits(), timing=ForeignTiming(close_within=20 * MS))
    foreign.hold.clear()
    deliveries = push(layer, CHANNEL, range(3))
    await layer.close()
    errors = [await delivery.outcome() for delivery in deliveries]
    assert [(type(error), getattr(error, "executed", "")) for error in errors] == [
        (SendUnknown, "maybe"),
        (Unavailable, "no"),
        (Unavailable, "no"),
    ]


async def test_closing_sends_what_waits_and_refuses_what_comes_later(
    foreign: FailingLayer, layer: ForeignLayer
) -> None:
    deliveries = push(layer, CHANNEL, range(20))
    await layer.close()
    assert await outcomes(deliveries) == {None: 20}
    assert [message["n"] for _, message in foreign.sent] == list(range(20))
    assert await outcomes(push(layer, CHANNEL, [20])) == {Unavailable: 1}


async def test_a_channel_that_hangs_does_not_hold_up_another(foreign: FailingLayer) -> None:
    class OneStuck(FailingLayer):
        async def send(self, channel: str, message: dict[str, Any]) -> None:
            if channel == "stuck":
                await asyncio.Event().wait()
            await super().send(channel, message)

    layer = ForeignLayer(OneStuck(), Limits(), timing=ForeignTiming(close_within=10 * MS))
    (stuck,) = push(layer, "stuck", [1])
    assert await outcomes(push(layer, CHANNEL, range(5))) == {None: 5}
    await layer.close()
    assert isinstance(await stuck.outcome(), SendUnknown)


class RecordedReplies:
    """Takes note of what the outbox tells it, and redirects nothing."""

    def __init__(self) -> None:
        self.expected: list[tuple[Any, bool]] = []

    async def redirect(self, delivery: Any, message: dict[str, Any]) -> dict[str, Any]:
        return message

    def expect(self, delivery: Any, awaited: bool) -> None:
        self.expected.append((delivery, awaited))


async def test_a_reply_is_awaited_unless_the_request_certainly_was_not_sent(foreign: FailingLayer) -> None:
    replies, timing = RecordedReplies(), ForeignTiming()
    view = ForeignLayer(foreign, Limits())
    outbox = Outbox(ForeignSender(foreign, timing.send_within), replies, timing, view.now_ms)
    foreign.capacity = 1
    for error, awaited in [(None, True), (OSError("gone"), True), (None, False)]:
        foreign.send_error = error
        delivery = Delivery(view, CHANNEL, 1)
        outbox.push(delivery)
        await delivery.outcome()
        assert replies.expected == [(delivery, awaited)]
        replies.expected.clear()
    await outbox.close()


async def test_a_group_gets_a_message_by_its_name(foreign: FailingLayer, layer: ForeignLayer) -> None:
    await foreign.group_add("orders.placed", "shop.events")
    assert await outcomes(push(layer, GROUP + "orders.placed", [7])) == {None: 1}
    assert (await foreign.receive("shop.events"))["n"] == 7


async def test_a_reply_that_the_layer_cannot_serialize_becomes_an_error() -> None:
    class Serializing(FailingLayer):
        def serialize(self, message: dict[str, Any]) -> bytes:
            if message["type"] == "reply":
                raise TypeError("no such value")
            return b""

        async def send(self, channel: str, message: dict[str, Any]) -> None:
            self.serialize(message)
            await super().send(channel, message)

    foreign = Serializing()
    layer = ForeignLayer(foreign, Limits())
    delivery = Delivery(layer, CHANNEL, 1)
    delivery.frame = encode_frame(0, layer.now_ms() + 60_000, "", {"type": "reply", "body": 1}, 1000)
    layer.push(delivery)
    assert isinstance(await delivery.outcome(), InvalidRequest)
    assert [(message["type"], message["code"]) for _, message in foreign.sent] == [("error", "reply_not_encodable")]
    await layer.close()


async def test_sends_at_once_are_bounded(foreign: FailingLayer, layer: ForeignLayer) -> None:
    at_once, most = 0, 0

    class Counting(FailingLayer):
        async def send(self, channel: str, message: dict[str, Any]) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(MS)
            at_once -= 1

    counted = ForeignLayer(Counting(), Limits())
    deliveries = [delivery for number in range(100) for delivery in push(counted, f"channel-{number}", [number])]
    assert await outcomes(deliveries) == {None: 100}
    await eventually(lambda: at_once == 0)
    assert most == 32
    await counted.close()
