"""Bytes that no honest process sends: to workers, and to callers as replies."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from servicebus import DeadlineExceeded, ServiceBus
from servicebus.errors import LARGEST_MESSAGE
from servicebus.protocol.codec import MalformedFrame, decode_request
from servicebus.testing.fault_plan import FaultPlan, Rule
from servicebus.testing.faulty_bus import FaultyBus
from servicebus.testing.servers import Server

from ...support.faults.record import Figures
from ...support.faults.sizes import sized
from ...support.shop import echoing
from ...support.timing import LONG, eventually

CHANNEL = "shop.request"
AT_ONCE = 1000
PENDING = 100
WILD: list[Any] = [
    *(None, True, -1, 0, 1, 2**32, 2**63, 2**64 - 1, 0.5, float("nan"), "", "no!such!channel", "\n" * 100, "\ud7ff"),
    *("x" * 5000, b"", b"\xff" * 100, [], [[[]]], {}, {"type": "echo"}, {1: {2: {}}}, msgpack.Timestamp(1, 1)),
]


class Counted(FaultPlan):
    """A plan without faults that counts the messages sent."""

    sent = 0

    def next(self, channel: str) -> Rule:
        self.sent += 1
        return super().next(channel)


async def fed(server: Server, channel: str, frames: Iterator[bytes]) -> int:
    """Put frames into a channel that is being read, as fast as they are taken; how many."""
    key, sent = f"asgi:{{{channel}}}", 0
    while batch := [frame for _, frame in zip(range(AT_ONCE), frames, strict=False)]:
        server.run("RPUSH", key, *batch)
        server.run("PEXPIRE", key, 10_000)
        sent += len(batch)
        await eventually(lambda: server.run("LLEN", key) == 0, within=LONG)
    return sent


def spoiled(draw: random.Random, models: list[bytes], count: int) -> Iterator[bytes]:
    """Frames that are like the models, and bytes that are like nothing."""
    for _ in range(count):
        yield draw.choice([flipped, cut, stretched, noise, wild])(draw, draw.choice(models))


def flipped(draw: random.Random, model: bytes) -> bytes:
    frame = bytearray(model)
    for _ in range(draw.randint(1, 3)):
        frame[draw.randrange(len(frame))] ^= 1 << draw.randrange(8)
    return bytes(frame)


def cut(draw: random.Random, model: bytes) -> bytes:
    return model[: draw.randrange(len(model))]


def stretched(draw: random.Random, model: bytes) -> bytes:
    at = draw.randrange(len(model))
    return model[:at] + draw.randbytes(draw.randint(1, 4)) + model[at + draw.randint(0, 4) :]


def noise(draw: random.Random, model: bytes) -> bytes:
    return draw.randbytes(draw.randrange(200))


def wild(draw: random.Random, model: bytes) -> bytes:
    """Whole, with one value of another kind or size."""
    frame = msgpack.unpackb(model)
    part = draw.choice([frame, frame[3]])
    at = draw.choice(list(part) if isinstance(part, dict) else range(len(part)))
    part[at] = draw.choice(WILD)
    packed: bytes = msgpack.packb(frame)
    return packed


def is_unanswered(frame: bytes, fence: int) -> bool:
    """Return whether a worker takes the frame as a message without a reply."""
    try:
        parsed = decode_request(frame, LARGEST_MESSAGE)
    except MalformedFrame:
        return False
    return parsed.fence in (0, fence) and not parsed.message.reply_channel


@pytest.mark.row(28)
async def test_every_spoiled_frame_is_rejected_or_handled_and_the_worker_goes_on(
    own_server: Server, figures: Figures, caplog: pytest.LogCaptureFixture
) -> None:
    count, faults = sized(50_000, 1_000_000), Counted()
    caplog.set_level(logging.ERROR, "servicebus")
    own_server.register(CHANNEL)
    async with ServiceBus(own_server.url) as bus:
        waiting = asyncio.create_task(bus.call(CHANNEL, {"type": "echo", "n": 1}, timeout=600.0))
        await bus.send(CHANNEL, {"type": "echo", "n": 2})
        models = own_server.frames(CHANNEL)
        own_server.run("FLUSHALL")
        fence = decode_request(models[0], LARGEST_MESSAGE).fence
        async with FaultyBus(own_server.url, faults=faults) as worker, worker.serving(echoing()):
            unanswered = list[bytes]()

            def frames() -> Iterator[bytes]:
                for frame in spoiled(random.Random(28), models, count):
                    unanswered.extend([frame] if is_unanswered(frame, fence) else [])
                    yield frame

            sent, seen = await fed(own_server, CHANNEL, frames()), worker.counters
            # One that has an illegal reply channel is rejected when it is to be answered.
            await eventually(lambda: seen.rejected_frames + seen.fenced_frames + faults.sent + len(unanswered) == sent)
            assert await bus.call(CHANNEL, {"type": "echo", "n": 3}) == {"type": "echo", "n": 3}
        waiting.cancel()
        await asyncio.wait([waiting])
    figures(28, f"{sent} sent: {seen.rejected_frames} rejected, {sent - seen.rejected_frames} accepted, 0 crashes")
    assert caplog.records == []


@pytest.mark.row(28)
async def test_every_spoiled_reply_is_rejected_or_belongs_to_no_call(
    own_server: Server, figures: Figures, caplog: pytest.LogCaptureFixture
) -> None:
    count = sized(50_000, 1_000_000)
    caplog.set_level(logging.ERROR, "servicebus")
    async with ServiceBus(own_server.url) as bus, bus.serving(echoing()):
        call, inbox, local = await taken(own_server, bus)
        models = [reply(local[:-16] + "0" * 16, 1), failure(local[:-16] + "0" * 16)]
        sent = await fed(own_server, inbox, spoiled(random.Random(82), models, count))
        seen = bus.counters
        await eventually(lambda: seen.rejected_frames + seen.late_replies == sent)
        await fed(own_server, inbox, iter([reply(local, 7)]))
        assert await call == 7
    figures(28, f"{sent} replies: {seen.rejected_frames} rejected, {seen.late_replies} to no call, 0 crashes")
    assert caplog.records == []


@pytest.mark.row(30)
async def test_forged_late_and_repeated_replies_are_ignored_and_counted(own_server: Server, figures: Figures) -> None:
    count, draw = 1_000_000, random.Random(30)
    async with ServiceBus(own_server.url) as bus:
        late, inbox, overdue = await taken(own_server, bus, timeout=0.1)
        with pytest.raises(DeadlineExceeded):
            await late
        pending = [await taken(own_server, bus) for _ in range(PENDING)]
        answered, open_calls = pending[: PENDING // 2], pending[PENDING // 2 :]
        await fed(own_server, inbox, iter([reply(local, "genuine") for _, _, local in answered]))
        assert {await call for call, _, _ in answered} == {"genuine"}
        repeated = [reply(local, "repeated") for _, _, local in answered]

        def forged() -> Iterator[bytes]:
            for _ in range(count):
                kind = draw.randrange(3)
                guess = f"{overdue[:-16]}{draw.getrandbits(64):016x}"
                yield (
                    reply(guess, "forged")
                    if kind == 0
                    else reply(overdue, "late")
                    if kind == 1
                    else draw.choice(repeated)
                )

        sent = await fed(own_server, inbox, forged())
        await eventually(lambda: bus.counters.late_replies == sent)
        assert bus.pending == len(open_calls)
        await fed(own_server, inbox, iter([reply(local, "genuine") for _, _, local in open_calls]))
        assert {await call for call, _, _ in open_calls} == {"genuine"}
        assert (bus.counters.late_replies, bus.counters.rejected_frames) == (sent, 0)
    figures(30, f"0 of {sent} accepted, {sent} counted")


async def taken(server: Server, bus: ServiceBus, timeout: float = 600.0) -> tuple[asyncio.Task[Any], str, str]:
    """A call that no worker will answer: its task, the caller's inbox and the local name of its reply."""
    server.register("nobody.request")
    call = asyncio.create_task(bus.call("nobody.request", {"type": "echo"}, timeout=timeout))
    await eventually(lambda: len(server.frames("nobody.request")) == 1)
    message = msgpack.unpackb(server.run("LPOP", "asgi:{nobody.request}"))[3]
    start, _, rest = message["reply_channel"].partition("!")
    prefix, _, process = start.rpartition(".")
    return call, f"{process}!", f"{prefix}!{rest}"


def reply(local: str, body: Any) -> bytes:
    frame: bytes = msgpack.packb([0, 2**63, local, {"type": "reply", "body": body}])
    return frame


def failure(local: str) -> bytes:
    message = {"type": "error", "code": "internal", "executed": "yes", "message": "no", "details": {"n": 1}}
    frame: bytes = msgpack.packb([0, 2**63, local, message])
    return frame
