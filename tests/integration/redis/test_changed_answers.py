"""Whatever a server answers, each call and each send ends once and in time, and nothing is promised on it."""

from __future__ import annotations

import asyncio

import pytest

from servicebus import DeadlineExceeded, SendUnknown, Service, ServiceBus, Unavailable
from servicebus.layers.redis.schema.scripts import MEMBERS, SEND, WITHDRAW, Script
from servicebus.testing.servers import Server

from ...support.faults.changed_answers import Change, changed_answers
from ...support.shop import CHANNEL, Count
from ...support.timing import LONG, MS, Stopwatch, allowed

ODD = [b"+OK\r\n", b"$1\r\nx\r\n", b"$-1\r\n", b"*0\r\n", b"*-1\r\n", b":99\r\n", b":-7\r\n", b"*1\r\n*1\r\n:1\r\n"]
"""Answers that neither script gives."""
TO_WITHDRAW = [
    *ODD,
    b":0\r\n",
    b":1\r\n",
    b"*1\r\n$1\r\n1\r\n",
    b"*1\r\n:2\r\n",
    b"*2\r\n:1\r\n:1\r\n",
    b"-ERR odd\r\n",
]
TO_SEND = [*ODD, b"*1\r\n:1\r\n", b"*2\r\n:1\r\n-ERR odd\r\n"]


def answering(script: Script, odd: bytes) -> Change:
    return lambda command, answer: odd if command[:2] == [b"EVALSHA", script.sha] else answer


class Slow:
    """A service whose handlers never end by themselves."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.service = Service("shop")
        self.service.handler(self.count)

    async def count(self, request: Count) -> int:
        self.started.append(request.upto)
        await asyncio.sleep(LONG)
        return request.upto


@pytest.mark.parametrize("odd", TO_WITHDRAW)
async def test_a_call_ends_at_its_deadline_whatever_withdraw_answers(server: Server, odd: bytes) -> None:
    slow = Slow()

    async def one(number: int) -> DeadlineExceeded:
        with pytest.raises(DeadlineExceeded) as caught:
            await bus.call(CHANNEL, Count(upto=number), timeout=200 * MS)
        return caught.value

    async with (
        ServiceBus(server.url) as worker,
        worker.serving(slow.service, concurrency=2, drain=0.01),
        changed_answers(server.path, answering(WITHDRAW, odd)) as url,
        ServiceBus(url) as bus,
    ):
        with Stopwatch() as watch:
            async with asyncio.timeout(LONG):
                errors = await asyncio.gather(*map(one, range(6)))
        assert watch.seconds < allowed(300 * MS)
        assert bus.pending == 0
    # The answers say nothing about the frames, so nothing may be promised.
    assert {error.executed for error in errors} == {"maybe"}


@pytest.mark.parametrize("odd", TO_WITHDRAW)
async def test_a_cancelled_call_leaves_nothing_whatever_withdraw_answers(server: Server, odd: bytes) -> None:
    slow = Slow()
    async with (
        ServiceBus(server.url) as worker,
        worker.serving(slow.service, concurrency=1, drain=0.01),
        changed_answers(server.path, answering(WITHDRAW, odd)) as url,
        ServiceBus(url) as bus,
    ):
        calls = [asyncio.create_task(bus.call(CHANNEL, Count(upto=number))) for number in range(3)]
        async with asyncio.timeout(LONG):
            while not slow.started:
                await asyncio.sleep(MS)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            while worker.counters.cancelled == 0:
                await asyncio.sleep(MS)
        assert bus.pending == 0


@pytest.mark.parametrize("odd", TO_SEND)
async def test_a_send_ends_as_unknown_whatever_the_script_answers(server: Server, odd: bytes) -> None:
    async with changed_answers(server.path, answering(SEND, odd)) as url, ServiceBus(url) as bus:
        async with asyncio.timeout(LONG):
            with pytest.raises(SendUnknown):
                await bus.send("odd.request", {"type": "x"})


@pytest.mark.parametrize("odd", TO_SEND)
async def test_a_call_ends_whatever_the_send_script_answers(server: Server, odd: bytes) -> None:
    slow = Slow()
    async with (
        ServiceBus(server.url) as worker,
        worker.serving(slow.service, drain=0.01),
        changed_answers(server.path, answering(SEND, odd)) as url,
        ServiceBus(url) as bus,
    ):
        async with asyncio.timeout(LONG):
            with pytest.raises((SendUnknown, DeadlineExceeded)) as caught:
                await bus.call(CHANNEL, Count(upto=1), timeout=200 * MS)
        assert caught.value.executed == "maybe"
        assert bus.pending == 0


@pytest.mark.parametrize(
    "odd", [b":0\r\n", b"+OK\r\n", b"*1\r\n:1\r\n", b"*2\r\n$1\r\nx\r\n:3\r\n", b"*2\r\n$1\r\nx\r\n*1\r\n:3\r\n"]
)
async def test_a_reader_goes_on_after_an_answer_that_is_none(server: Server, odd: bytes) -> None:
    service, left = Service("shop"), [3]

    @service.handler
    async def count(request: Count) -> int:
        return request.upto

    def change(command: list[bytes], answer: bytes) -> bytes:
        if command[0] == b"BLMPOP" and answer.startswith((b"*-1", b"$-1")) and left[0]:
            left[0] -= 1
            return odd
        return answer

    async with (
        changed_answers(server.path, change) as url,
        ServiceBus(url) as bus,
        bus.serving(service),
    ):
        async with asyncio.timeout(LONG):
            while left[0]:
                await asyncio.sleep(10 * MS)
            assert await bus.call(CHANNEL, Count(upto=3), timeout=LONG / 2) == 3


@pytest.mark.parametrize("odd", [*ODD[:3], *ODD[4:], b"*1\r\n:1\r\n", b"*2\r\n$1\r\nx\r\n$-1\r\n", b"-ERR odd\r\n"])
async def test_questions_of_who_is_there_end_with_errors_of_ours(server: Server, odd: bytes) -> None:
    async with changed_answers(server.path, answering(MEMBERS, odd)) as url, ServiceBus(url) as bus:
        async with asyncio.timeout(LONG):
            with pytest.raises((SendUnknown, Unavailable)):
                await bus.workers(CHANNEL)
            with pytest.raises((SendUnknown, Unavailable)):
                await bus.publish("shop.opened", {"n": 1})
