"""How calls end: at their deadline, with a verdict; cancelled; or with a reply, of which only the first counts."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import msgpack
import pytest

from servicebus import (
    Context,
    DeadlineExceeded,
    Service,
    ServiceBus,
    ServiceBusError,
)
from servicebus.config import Timing
from servicebus.layers.layer import Layer
from servicebus.protocol.addresses import split_address
from servicebus.testing.servers import Server

from ...support.shop import CHANNEL, Count, calling
from ...support.timing import (
    MS,
    Stopwatch,
    allowed,
    eventually,
)
from ...support.transport import (
    Delivery,
    Layers,
    Reader,
    outcomes,
)

LATENESS = 100 * MS
"""A call that is over is reported over by its deadline and this much."""


class Slow:
    """A service whose handlers wait until they are told to go on, in a task or in a thread."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.go_on = asyncio.Event()
        self.seconds = 0.1
        self.service = Service("shop")
        self.service.handler(self.count)
        self.service.handler("sleep")(self.sleep)

    async def count(self, request: Count) -> int:
        self.started.append(request.upto)
        await self.go_on.wait()
        return request.upto

    def sleep(self, message: dict[str, Any]) -> int:
        number: int = message["n"]
        self.started.append(number)
        time.sleep(self.seconds)
        return number


async def test_a_call_that_no_worker_took_is_withdrawn_at_its_deadline(url: str) -> None:
    slow = Slow()
    async with calling(url, slow.service, concurrency=1) as bus:
        first = asyncio.create_task(bus.call(CHANNEL, Count(upto=1)))
        await eventually(lambda: slow.started == [1])
        with Stopwatch() as watch, pytest.raises(DeadlineExceeded) as caught:
            await bus.call(CHANNEL, Count(upto=2), timeout=0.1)
        assert 0.1 <= watch.seconds < allowed(0.1 + LATENESS)
        error = caught.value
        assert (error.channel, error.operation, error.stage) == (CHANNEL, "count", "queued")
        assert (error.executed, error.retryable) == ("no", False)
        slow.go_on.set()
        assert await first == 1
        assert await bus.call(CHANNEL, Count(upto=3)) == 3
        assert bus.pending == 0
    assert slow.started == [1, 3]


async def test_a_call_that_was_taken_may_have_run_when_its_deadline_passes(url: str) -> None:
    slow = Slow()
    async with calling(url, slow.service) as bus:
        with Stopwatch() as watch, pytest.raises(DeadlineExceeded) as caught:
            await bus.call(CHANNEL, Count(upto=1), timeout=0.1)
        assert 0.1 <= watch.seconds < allowed(0.1 + LATENESS)
        assert (caught.value.stage, caught.value.executed) == ("dispatched", "maybe")
        assert slow.started == [1]
        slow.go_on.set()
        await eventually(lambda: bus.counters.late_replies == 1)
        assert bus.pending == 0


async def test_many_deadlines_at_once_are_each_met(url: str) -> None:
    slow = Slow()

    async def one(number: int) -> float:
        timeout = random.uniform(0.02, 0.3)
        with Stopwatch() as watch, pytest.raises(DeadlineExceeded) as caught:
            await bus.call(CHANNEL, Count(upto=number), timeout=timeout)
        assert caught.value.executed == ("maybe" if number in slow.started else "no")
        return watch.seconds - timeout

    async with calling(url, slow.service, concurrency=50) as bus:
        late = await asyncio.gather(*map(one, range(300)))
        assert min(late) >= 0
        assert max(late) < allowed(LATENESS)
        assert len(slow.started) >= 50
        slow.go_on.set()


async def test_the_deadline_of_a_handler_bounds_the_calls_that_it_makes(url: str) -> None:
    slow, outer = Slow(), Service("outer")
    seconds: list[float] = []

    @outer.handler("nested")
    async def nested(message: dict[str, Any], context: Context) -> None:
        with Stopwatch() as watch, pytest.raises(DeadlineExceeded):
            await context.bus.call(CHANNEL, Count(upto=1), timeout=60.0)
        seconds.append(watch.seconds)
        with Stopwatch() as watch, pytest.raises(DeadlineExceeded) as caught:
            await context.bus.call(CHANNEL, Count(upto=2), timeout=60.0)
        seconds.append(watch.seconds)
        assert caught.value.stage == "queued"

    async with calling(url, slow.service, outer) as bus:
        with suppress(DeadlineExceeded):  # unless the reply comes in the moment that is left for a verdict
            await bus.call("outer.request", {"type": "nested"}, timeout=0.1)
        await eventually(lambda: len(seconds) == 2)
        slow.go_on.set()
    assert seconds[0] < allowed(0.1 + LATENESS)
    assert seconds[1] < allowed(5 * MS), "nothing is sent when the deadline has passed"
    assert slow.started == [1]


async def test_a_message_that_expired_in_the_channel_is_never_started(url: str) -> None:
    slow = Slow()
    async with ServiceBus(url, expiry=0.4) as bus, ServiceBus(url) as worker:
        for number in range(3):
            await bus.send(CHANNEL, Count(upto=number))
        await asyncio.sleep(420 * MS)
        await bus.send(CHANNEL, Count(upto=3))
        async with worker.serving(slow.service):
            await eventually(lambda: slow.started == [3])
            slow.go_on.set()
    assert slow.started == [3]


async def test_a_worker_that_takes_a_call_too_late_answers_that_it_expired(
    server: Server,
) -> None:
    """The withdrawal fails, because the worker takes it at the same time: then the worker's word counts."""
    slow = Slow()
    async with ServiceBus(server.url) as worker, worker.serving(slow.service), ServiceBus(server.url) as bus:
        for number in range(20):
            with pytest.raises(DeadlineExceeded) as caught:
                await bus.call(CHANNEL, Count(upto=number), timeout=0.001)
            assert caught.value.executed == "maybe" or number not in slow.started
        slow.go_on.set()
        assert worker.counters.handled + worker.counters.expired_messages <= 20


async def test_a_plain_handler_does_not_start_after_its_deadline(url: str) -> None:
    slow = Slow()
    async with calling(url, slow.service) as bus:
        calls = [bus.call(CHANNEL, {"type": "sleep", "n": number}, timeout=0.08) for number in range(60)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.sleep(0.15)
    assert all(isinstance(outcome, DeadlineExceeded) for outcome in outcomes)
    assert 0 < len(slow.started) < 60
    for number, outcome in enumerate(outcomes):
        assert isinstance(outcome, DeadlineExceeded)
        assert outcome.executed == "maybe" or number not in slow.started


async def test_a_plain_handler_that_did_not_start_is_reported_as_such(url: str) -> None:
    slow = Slow()
    slow.seconds = 0.105
    async with calling(url, slow.service, timing=Timing(verdict_within=5.0)) as bus:
        calls = [bus.call(CHANNEL, {"type": "sleep", "n": number}, timeout=0.1) for number in range(60)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    executed = Counter(outcome.executed for outcome in outcomes if isinstance(outcome, ServiceBusError))
    assert executed["no"] >= 20, executed


# Cancelling.


async def test_a_cancelled_call_that_was_not_taken_is_withdrawn(url: str) -> None:
    slow = Slow()
    async with calling(url, slow.service, concurrency=1) as bus:
        first = asyncio.create_task(bus.call(CHANNEL, Count(upto=1)))
        await eventually(lambda: slow.started == [1])
        cancelled = asyncio.create_task(bus.call(CHANNEL, Count(upto=2)))
        await asyncio.sleep(20 * MS)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert bus.pending == 1
        slow.go_on.set()
        assert await bus.call(CHANNEL, Count(upto=3)) == 3
        assert await first == 1
    assert slow.started == [1, 3]


async def test_a_call_that_is_cancelled_at_once_is_never_sent(url: str) -> None:
    slow = Slow()
    slow.go_on.set()
    async with calling(url, slow.service) as bus:
        await bus.call(CHANNEL, Count(upto=0))
        call = asyncio.create_task(bus.call(CHANNEL, Count(upto=1)))
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await bus.call(CHANNEL, Count(upto=2))
        assert bus.pending == 0
    assert slow.started == [0, 2]


async def test_a_reply_to_a_cancelled_call_is_dropped_and_counted(url: str) -> None:
    slow = Slow()
    async with calling(url, slow.service) as bus:
        call = asyncio.create_task(bus.call(CHANNEL, Count(upto=1)))
        await eventually(lambda: slow.started == [1])
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert bus.pending == 0
        slow.go_on.set()
        await eventually(lambda: bus.counters.late_replies == 1)


async def test_calls_cancelled_at_random_instants_disturb_no_other(url: str) -> None:
    slow = Slow()
    slow.go_on.set()
    loop = asyncio.get_running_loop()
    async with calling(url, slow.service) as bus:
        calls = [asyncio.create_task(bus.call(CHANNEL, Count(upto=number))) for number in range(2000)]
        doomed = set(random.sample(calls, 1000))
        for call in doomed:
            loop.call_later(random.uniform(0, 60) * MS, call.cancel)
        await asyncio.wait(calls)
        assert bus.pending == 0
        for number, call in enumerate(calls):
            assert call in doomed or call.result() == number
    assert max(Counter(slow.started).values()) == 1


async def test_a_timeout_around_a_call_is_just_another_way_to_cancel_it(url: str) -> None:
    slow = Slow()
    async with calling(url, slow.service) as bus:
        with pytest.raises(TimeoutError) as caught:
            await asyncio.wait_for(bus.call(CHANNEL, Count(upto=1)), 30 * MS)
        assert not isinstance(caught.value, ServiceBusError)
        assert bus.pending == 0
        slow.go_on.set()


# Replies.


class ByHand:
    """A worker that answers with whatever frames it is given."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self.reader = Reader(layer, CHANNEL, worker_id="by-hand")

    async def taken(self) -> tuple[str, str]:
        """The inbox and the local name that the oldest request wants its reply in."""
        await self.reader.has_read(1)
        message = msgpack.unpackb(self.reader.frames.pop(0))[3]
        return split_address(message["reply_channel"])

    async def push(self, inbox: str, *frames: bytes) -> None:
        deliveries = [Delivery(self._layer, inbox, 0) for _ in frames]
        for delivery, frame in zip(deliveries, frames, strict=True):
            delivery.frame = frame
            self._layer.push(delivery)
        assert await outcomes(deliveries) == {None: len(frames)}


@pytest.fixture
async def by_hand(url: str) -> AsyncIterator[ByHand]:
    layers = Layers(url)
    worker = ByHand(await layers.open())
    await worker.reader.consumer.ready()
    yield worker
    await layers.close()


def reply(local: str, body: Any) -> bytes:
    frame: bytes = msgpack.packb([0, 2**63, local, {"type": "reply", "body": body}])
    return frame


async def test_only_the_first_reply_counts_and_others_are_dropped(url: str, by_hand: ByHand) -> None:
    async with ServiceBus(url) as bus:
        call = asyncio.create_task(bus.call(CHANNEL, Count()))
        inbox, local = await by_hand.taken()
        await by_hand.push(inbox, reply(local, 1), reply(local, 2), reply(local, 3))
        assert await call == 1
        await eventually(lambda: bus.counters.late_replies == 2)
        await by_hand.push(inbox, reply(local, 4))
        await eventually(lambda: bus.counters.late_replies == 3)


async def test_forged_replies_are_dropped_and_counted_exactly(url: str, by_hand: ByHand) -> None:
    async with ServiceBus(url) as bus:
        call = asyncio.create_task(bus.call(CHANNEL, Count()))
        inbox, local = await by_hand.taken()
        guesses = ["", local[:-1], local + "0", "x" * 16, *(f"{local[:-16]}{n:016x}" for n in range(5000))]
        await by_hand.push(inbox, *(reply(guess, "forged") for guess in guesses))
        await by_hand.push(inbox, reply(local, 7))
        assert await call == 7
        assert bus.counters.late_replies == len(guesses)


async def test_what_cannot_be_read_as_a_reply_is_dropped_and_counted(url: str, by_hand: ByHand) -> None:
    async with ServiceBus(url) as bus:
        call = asyncio.create_task(bus.call(CHANNEL, Count()))
        inbox, local = await by_hand.taken()
        whole = reply(local, 7)
        junk = [b"\xc1", whole[:-1], whole + b"x", msgpack.packb([0, 0, local]), msgpack.packb({}), b"x" * 70_000]
        await by_hand.push(inbox, *junk, whole)
        assert await call == 7
        assert bus.counters.rejected_frames == len(junk)
        assert bus.counters.late_replies == 0


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\xa1\xff", b"\x91" * 2000 + b"\x00"])
async def test_a_reply_whose_body_cannot_be_read_is_an_error_and_not_a_crash(
    url: str, by_hand: ByHand, body: bytes
) -> None:
    async with ServiceBus(url) as bus:
        call = asyncio.create_task(bus.call(CHANNEL, Count(), timeout=0.2))
        inbox, local = await by_hand.taken()
        pair = b"\xa4body" + body if body else b""
        message = bytes([0x82 if body else 0x81]) + b"\xa4type\xa5reply" + pair
        head: bytes = msgpack.packb([0, 2**63, local])
        await by_hand.push(inbox, b"\x94" + head[1:] + message)
        with pytest.raises(ServiceBusError) as caught:
            await call
        assert caught.value.executed in ("yes", "maybe")
        assert bus.pending == 0
