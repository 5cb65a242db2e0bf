from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest

from servicebus import (
    ChannelFull,
    ConfigurationError,
    InvalidRequest,
    MessageTooLarge,
    NoWorkers,
    Overloaded,
    Service,
    ServiceBus,
)
from servicebus.foundation.repeated_log import AT_ONCE
from servicebus.security.keyring import Keyring
from servicebus.testing.servers import Server

from ...support.shop import (
    CHANNEL,
    Count,
    Placed,
    calling,
    counter,
)
from ...support.timing import MS, Stopwatch, allowed, eventually


async def test_no_workers_is_reported_within_50_ms(url: str) -> None:
    async with ServiceBus(url) as bus:
        with Stopwatch() as watch, pytest.raises(NoWorkers) as caught:
            await bus.call("nobody.request", Count(), timeout=5.0)
        assert watch.seconds < allowed(50 * MS)
        assert (caught.value.channel, caught.value.executed, caught.value.retryable) == ("nobody.request", "no", True)
        assert bus.pending == 0


async def test_a_full_channel_refuses_at_once(url: str) -> None:
    async with ServiceBus(url, channel_capacity={"shop.request": 3, re.compile("x"): 1}) as bus:
        outcomes = await asyncio.gather(*(bus.send(CHANNEL, Count(upto=n)) for n in range(10)), return_exceptions=True)
        assert outcomes[:3] == [None] * 3
        for outcome in outcomes[3:]:
            assert isinstance(outcome, ChannelFull)
            assert (outcome.channel, outcome.capacity, outcome.executed) == (CHANNEL, 3, "no")


async def test_a_call_into_a_full_channel_is_refused_and_not_pending(url: str) -> None:
    service = Service("shop")
    started, release = asyncio.Event(), asyncio.Event()

    @service.handler
    async def count(request: Count) -> int:
        started.set()
        await release.wait()
        return request.upto

    async with ServiceBus(url) as worker, ServiceBus(url, capacity=2) as bus:
        async with worker.serving(service, concurrency=1):
            first = asyncio.create_task(bus.call(CHANNEL, Count(upto=1)))
            await started.wait()
            calls = [asyncio.create_task(bus.call(CHANNEL, Count(upto=n))) for n in range(2, 6)]
            await asyncio.wait(calls[2:])
            for refused in calls[2:]:
                assert isinstance(refused.exception(), ChannelFull)
            assert bus.pending == 3
            release.set()
            assert await asyncio.gather(first, *calls[:2]) == [1, 2, 3]


async def test_too_many_pending_calls_are_refused_before_they_are_sent(url: str) -> None:
    service = Service("shop")
    release = asyncio.Event()

    @service.handler
    async def count(request: Count) -> int:
        await release.wait()
        return request.upto

    async with calling(url, service, max_pending=2) as bus:
        calls = [asyncio.create_task(bus.call(CHANNEL, Count(upto=n))) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="2 calls are pending") as caught:
            await bus.call(CHANNEL, Count())
        assert (caught.value.executed, caught.value.retryable) == ("no", True)
        release.set()
        assert await asyncio.gather(*calls) == [0, 1]
        assert await bus.call(CHANNEL, Count(upto=5)) == 5


@pytest.mark.parametrize("kind", ["call", "send", "publish"])
async def test_a_message_over_the_limit_is_refused_before_it_is_sent(url: str, kind: str) -> None:
    async with calling(url, counter(), max_message_size=1000) as bus:
        await bus.call(CHANNEL, {"type": "echo", "x": "y" * 500})
        with pytest.raises(MessageTooLarge) as caught:
            await getattr(bus, kind)("orders.placed" if kind == "publish" else CHANNEL, {"type": "x", "x": "y" * 1000})
        assert caught.value.limit == 1000
        assert 1000 < caught.value.size < 1400
        assert bus.pending == 0


class Unencodable:
    pass


RECURSIVE: list[Any] = []
RECURSIVE.append(RECURSIVE)


@pytest.mark.parametrize("value", [Unencodable(), 2**64, {(1, 2): object()}, "\ud800", RECURSIVE, -(2**63) - 1])
@pytest.mark.parametrize("kind", ["call", "send", "publish"])
async def test_what_msgpack_cannot_hold_is_refused_before_it_is_sent(url: str, kind: str, value: Any) -> None:
    async with calling(url, counter()) as bus:
        channel = "orders.placed" if kind == "publish" else CHANNEL
        with pytest.raises(InvalidRequest, match="cannot be encoded") as caught:
            await getattr(bus, kind)(channel, {"type": "echo", "value": value})
        assert caught.value.executed == "no"
        assert bus.pending == 0


@pytest.mark.parametrize("message", [{}, {"type": 7}, None, "count", Placed("o-1")])
async def test_what_is_no_request_is_refused(url: str, message: Any) -> None:
    async with calling(url, counter()) as bus:
        for method in (bus.call, bus.send):
            with pytest.raises(InvalidRequest):
                await method(CHANNEL, message)


@pytest.mark.parametrize("channel", ["", "no spaces", "x" * 100, "a!b!c"])
async def test_an_illegal_channel_name_is_refused(url: str, channel: str) -> None:
    async with ServiceBus(url) as bus:
        for sending in (bus.call(channel, Count()), bus.send(channel, Count()), bus.publish(channel, Placed("o"))):
            with pytest.raises(ConfigurationError, match="is no channel name"):
                await sending


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf"), 86_401])
async def test_a_timeout_without_meaning_is_refused(url: str, timeout: float) -> None:
    async with ServiceBus(url) as bus:
        with pytest.raises(ConfigurationError, match="timeout is"):
            await bus.call(CHANNEL, Count(), timeout=timeout)
        assert bus.pending == 0


JUNK = 3000
"""Frames of nothing: two or three seconds of work at most."""


async def test_each_frame_of_junk_is_counted_and_few_have_a_line(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with calling(server.url, counter()) as bus:
        assert await bus.call(CHANNEL, Count(upto=1))
        inbox = bus.session.caller.inbox.name
        started = time.monotonic()
        for channel in (CHANNEL, inbox):
            server.run("RPUSH", f"asgi:{{{channel}}}", *[b"junk"] * JUNK)
        await eventually(lambda: sum(map(_counted, caplog.messages)) == 2 * JUNK)
        seconds = time.monotonic() - started
        dropped = [record for record in caplog.records if "was dropped" in record.getMessage()]
        assert 2 <= len(dropped) <= 2 * AT_ONCE * (seconds + 2)


def _counted(text: str) -> int:
    more = re.search(r"and (\d+) more", text)
    return (1 + (int(more[1]) if more else 0)) if "was dropped" in text else 0


def test_a_bus_that_signs_takes_no_expiry_that_workers_cannot_remember() -> None:
    keys = Keyring("k1", {"k1": bytes(16)})
    ServiceBus("memory://", signing=keys, expiry=3600)
    with pytest.raises(ConfigurationError, match="at most 3600 seconds"):
        ServiceBus("memory://", signing=keys, expiry=3601)
