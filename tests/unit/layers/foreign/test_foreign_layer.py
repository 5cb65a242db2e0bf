"""The bus's view of a foreign channel layer when things go wrong: on the layer, on the way, or in the settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers
from hypothesis import given
from hypothesis import strategies as st

from servicebus import (
    ChannelFull,
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    RemoteError,
    SendUnknown,
    ServiceBus,
    Unavailable,
)
from servicebus.layers.foreign import AdapterLayer, outbox, presence
from servicebus.layers.limits import Limits
from servicebus.protocol.addresses import full_name, split_address
from servicebus.protocol.codec import encode_frame

from ....support.shop import (
    CHANNEL,
    Count,
    Placed,
    calling,
    counter,
)
from ....support.timing import MS, eventually
from ....support.transport import (
    Delivery,
    Reader,
    outcomes,
    push,
)

ALIAS = "adapter-tests"
URL = f"django://{ALIAS}"


class Moody(InMemoryChannelLayer):  # type: ignore[misc] # channels has no types
    """Channels' layer in memory, which fails or hangs when it is told to."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.send_error: Exception | None = None
        self.receive_errors: list[Exception] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.joined: list[tuple[str, str]] = []

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await self.hold.wait()
        if self.send_error is not None:
            raise self.send_error
        self.sent.append((channel, message))
        await super().send(channel, message)

    async def receive(self, channel: str) -> dict[str, Any]:
        if self.receive_errors:
            raise self.receive_errors.pop(0)
        received: dict[str, Any] = await super().receive(channel)
        return received

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if self.send_error is not None:
            raise self.send_error
        await super().group_send(group, message)

    async def group_add(self, group: str, channel: str) -> None:
        self.joined.append((group, channel))
        await super().group_add(group, channel)


@pytest.fixture
def foreign() -> Iterator[Moody]:
    made = Moody()
    channel_layers.set(ALIAS, made)
    yield made
    channel_layers.backends.pop(ALIAS, None)


@pytest.fixture
async def layer(foreign: Moody) -> AsyncIterator[AdapterLayer]:
    opened = AdapterLayer(foreign, Limits())
    await opened.open()
    yield opened
    await opened.close()


async def test_what_a_full_channel_refuses_was_not_sent(foreign: Moody) -> None:
    foreign.capacity = 3
    async with ServiceBus(URL) as bus:
        for n in range(3):
            await bus.send("stuck", {"type": "n", "n": n})
        with pytest.raises(ChannelFull) as full:
            await bus.send("stuck", {"type": "n", "n": 3})
        with pytest.raises(ChannelFull):
            await bus.call("stuck", {"type": "n", "n": 4})
    assert (full.value.channel, full.value.capacity, full.value.executed) == ("stuck", 3, "no")


async def test_of_any_other_failure_nobody_knows_whether_it_was_sent(foreign: Moody) -> None:
    foreign.send_error = ConnectionResetError("gone")
    async with ServiceBus(URL) as bus:
        with pytest.raises(SendUnknown, match="ConnectionResetError: gone") as unknown:
            await bus.call(CHANNEL, Count(upto=1))
        with pytest.raises(SendUnknown):
            await bus.publish("orders.placed", Placed("o-1"))
    assert unknown.value.executed == "maybe"
    assert unknown.value.__cause__ is foreign.send_error


async def test_without_a_channel_for_its_reply_a_call_is_not_sent(
    foreign: Moody, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails() -> str:
        raise ConnectionError("gone")

    monkeypatch.setattr(foreign, "new_channel", fails)
    async with ServiceBus(URL) as bus:
        with pytest.raises(Unavailable, match="gone") as error:
            await bus.call(CHANNEL, Count(upto=1))
    assert error.value.executed == "no"
    assert foreign.sent == []


async def test_a_type_error_of_a_layer_that_cannot_say_what_it_holds_proves_nothing(foreign: Moody) -> None:
    foreign.send_error = TypeError("in the middle of it")
    async with ServiceBus(URL) as bus:
        with pytest.raises(SendUnknown):
            await bus.send(CHANNEL, {"type": "n"})


async def test_a_layer_that_hangs_is_given_up(foreign: Moody, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "SEND_WITHIN", 30 * MS)
    foreign.hold.clear()
    async with ServiceBus(URL) as bus:
        with pytest.raises(SendUnknown, match="TimeoutError"):
            await bus.send(CHANNEL, {"type": "n"})


async def test_what_expires_while_it_waits_for_the_layer_is_never_sent(foreign: Moody, layer: AdapterLayer) -> None:
    foreign.hold.clear()
    first, second, third = (Delivery(layer, CHANNEL, n) for n in range(3))
    second.frame = encode_frame(0, layer.now_ms() + 20, "", {"type": "n", "n": 1}, 1000)
    third.frame = encode_frame(0, layer.now_ms() + 20, "", {"type": "n", "n": 2, "deadline": layer.now_ms() + 20}, 1000)
    for delivery in (first, second, third):
        layer.push(delivery)
    await asyncio.sleep(40 * MS)
    foreign.hold.set()
    assert await first.outcome() is None
    assert isinstance(await second.outcome(), Unavailable)
    late = await third.outcome()
    assert isinstance(late, DeadlineExceeded)
    assert late.stage == "queued"
    assert [message["n"] for _, message in foreign.sent] == [0]


async def test_more_than_may_wait_for_the_layer_is_refused(
    foreign: Moody, layer: AdapterLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 1000)
    foreign.hold.clear()
    deliveries = push(layer, CHANNEL, ["x" * 100 for _ in range(12)])
    foreign.hold.set()
    found = await outcomes(deliveries)
    assert found[Overloaded] > 0
    assert found[None] + found[Overloaded] == 12
    assert await outcomes(push(layer, CHANNEL, range(3))) == {None: 3}, "there is room again"


async def test_what_has_not_left_can_be_taken_back_and_nothing_else(foreign: Moody, layer: AdapterLayer) -> None:
    foreign.hold.clear()
    deliveries = push(layer, CHANNEL, range(3))
    await asyncio.sleep(0)
    assert await layer.withdraw(*deliveries) == deliveries[1:]
    foreign.hold.set()
    assert await deliveries[0].outcome() is None
    assert await layer.withdraw(*deliveries) == []
    assert len(foreign.sent) == 1


async def test_a_call_that_waits_behind_a_slow_layer_was_never_started(foreign: Moody) -> None:
    foreign.hold.clear()
    async with ServiceBus(URL) as bus:
        calls = [asyncio.create_task(bus.call(CHANNEL, Count(upto=n), timeout=50 * MS)) for n in range(3)]
        late = await asyncio.gather(*calls, return_exceptions=True)
        foreign.hold.set()
    assert [getattr(error, "executed", None) for error in late] == ["maybe", "no", "no"]
    assert all(isinstance(error, DeadlineExceeded) for error in late)


async def test_bytes_stay_bytes(foreign: Moody) -> None:
    async with calling(URL, counter()) as bus:
        reply = await bus.call(CHANNEL, {"type": "echo", "raw": b"\x00\xff", "text": "x", "deep": [{"raw": b""}]})
        assert (reply["raw"], reply["text"], reply["deep"]) == (b"\x00\xff", "x", [{"raw": b""}])


async def test_a_frame_that_is_none_is_refused(layer: AdapterLayer) -> None:
    delivery = Delivery(layer, CHANNEL, 1)
    delivery.frame = b"\xc1"
    layer.push(delivery)
    assert isinstance(await delivery.outcome(), InvalidRequest)


async def test_failures_of_receive_are_waited_out(foreign: Moody, layer: AdapterLayer) -> None:
    foreign.receive_errors = [ConnectionError("gone"), OSError("still gone")]
    reader = Reader(layer, CHANNEL)
    push(layer, CHANNEL, range(3))
    await reader.has_read(3)
    assert reader.numbers == [0, 1, 2]


async def test_what_is_no_message_is_passed_over_and_gives_its_credit_back(foreign: Moody, layer: AdapterLayer) -> None:
    reader = Reader(layer, CHANNEL, credit=1)
    await foreign.send(CHANNEL, {"type": "n", "n": object()})
    push(layer, CHANNEL, [1])
    await reader.has_read(1)
    assert reader.numbers == [1]


async def test_a_reader_goes_on_when_another_of_its_channel_stops(foreign: Moody, layer: AdapterLayer) -> None:
    other = AdapterLayer(foreign, Limits())
    stays, goes = Reader(layer, CHANNEL), Reader(other, CHANNEL)
    await outcomes(push(layer, CHANNEL, range(10)))
    await eventually(lambda: len(stays.frames) + len(goes.frames) == 10)
    assert len(stays.frames) == len(goes.frames) == 5, "they take turns"
    await other.close()
    push(layer, CHANNEL, [10])
    await stays.has_read(6)


async def test_every_call_has_a_reply_channel_of_its_own_that_is_gone_after_it(foreign: Moody) -> None:
    async with calling(URL, counter()) as bus:
        await bus.gather(*((CHANNEL, Count(upto=n)) for n in range(50)))
        names = [message["reply_channel"] for channel, message in foreign.sent if channel == CHANNEL]
        assert len(set(names)) == 50
        assert set(foreign.channels) <= {CHANNEL, "shop.events"}


async def test_a_second_reply_to_a_call_meets_nobody(foreign: Moody) -> None:
    async with ServiceBus(URL, timeout=2.0) as bus:
        calls = [asyncio.create_task(bus.call(CHANNEL, Count(upto=n))) for n in range(2)]
        first, second = [await foreign.receive(CHANNEL) for _ in calls]
        for _ in range(2):
            await foreign.send(first["reply_channel"], {"type": "reply", "body": "first"})
        await foreign.send(second["reply_channel"], {"type": "reply", "body": 2})
        with pytest.raises(RemoteError, match="reply_invalid"):
            await calls[0]
        assert await calls[1] == 2
        assert bus.counters.late_replies == 0


async def test_a_call_that_is_given_up_is_not_listened_for_until_its_far_deadline(foreign: Moody) -> None:
    async with ServiceBus(URL) as bus:
        calls = [asyncio.create_task(bus.call(CHANNEL, Count(upto=n), timeout=3600.0)) for n in range(5)]
        await eventually(lambda: len(foreign.sent) == 5)
        before = asyncio.all_tasks()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await eventually(lambda: len(asyncio.all_tasks() & before) <= len(before) - 15)
        assert set(foreign.channels) <= {CHANNEL}


async def test_closing_a_bus_ends_its_pending_calls(foreign: Moody) -> None:
    async with ServiceBus(URL) as bus:
        call = asyncio.create_task(bus.call(CHANNEL, Count(upto=1), timeout=60.0))
        await eventually(lambda: len(foreign.sent) == 1)
    with pytest.raises(SendUnknown, match="closed"):
        await call


async def test_closing_waits_a_moment_for_a_layer_that_hangs(
    foreign: Moody, layer: AdapterLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "CLOSE_WITHIN", 20 * MS)
    foreign.hold.clear()
    deliveries = push(layer, CHANNEL, range(3))
    await layer.close()
    errors = [await delivery.outcome() for delivery in deliveries]
    assert [(type(error), getattr(error, "executed", "")) for error in errors] == [
        (SendUnknown, "maybe"),
        (Unavailable, "no"),
        (Unavailable, "no"),
    ]


async def test_asking_for_workers_again_and_again_leaves_one_message(
    foreign: Moody, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "PROBE_WITHIN", 10 * MS)
    async with ServiceBus(URL) as bus, ServiceBus(URL) as worker:
        for _ in range(5):
            assert await bus.workers(CHANNEL) == 0
        assert [channel for channel, _ in foreign.sent] == [CHANNEL]
        async with worker.serving(counter()):
            assert await bus.workers(CHANNEL) == 1
            assert worker.counters.handled == 0
        assert worker.counters.rejected_frames == 0


async def test_a_channel_that_cannot_be_asked_has_no_known_worker(foreign: Moody) -> None:
    async with ServiceBus(URL) as bus:
        foreign.send_error = ConnectionError("gone")
        with pytest.raises(Unavailable, match="gone"):
            await bus.workers(CHANNEL)
        foreign.send_error, foreign.capacity = None, 1
        await bus.send(CHANNEL, {"type": "n"})
        assert await bus.workers(CHANNEL) == 0


async def test_a_subscription_is_said_again_before_it_ends(foreign: Moody) -> None:
    foreign.group_expiry = 0.2
    layer = AdapterLayer(foreign, Limits())
    await layer.subscribe("orders.placed", "shop.events")
    await eventually(lambda: len(foreign.joined) >= 4)
    layer.unsubscribe("orders.placed", "shop.events")
    await asyncio.sleep(60 * MS)
    said = len(foreign.joined)
    await asyncio.sleep(120 * MS)
    assert len(foreign.joined) == said
    assert list(foreign.groups["orders.placed"]) == ["shop.events"], "another process may keep it"
    await layer.close()


async def test_events_need_a_layer_with_groups(foreign: Moody, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "extensions", [], raising=False)
    async with ServiceBus(URL) as bus:
        with pytest.raises(ConfigurationError, match="Moody has no groups"):
            await bus.publish("orders.placed", Placed("o-1"))
        with pytest.raises(ConfigurationError, match="Moody has no groups"):
            async with bus.serving(counter()):
                pass


words = st.text(alphabet="abcXYZ019-_", min_size=1, max_size=8)


@given(st.lists(words, min_size=1, max_size=4), st.none() | words)
def test_a_full_name_is_what_its_route_was_made_of(parts: list[str], unique: str | None) -> None:
    name = ".".join(parts) + ("" if unique is None else f"!{unique}")
    assert full_name(*split_address(name)) == name
