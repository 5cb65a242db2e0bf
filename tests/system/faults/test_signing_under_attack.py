"""Signed frames that are spoiled, copied and moved, and keys that are rolled while calls go on."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from itertools import count, islice, product
from pathlib import Path
from typing import Any

import msgpack
import pytest

from servicebus import DeadlineExceeded, Service, ServiceBus
from servicebus.errors import LARGEST_MESSAGE
from servicebus.protocol.codec import (
    Decode,
    MalformedFrame,
    decode_reply,
    decode_request,
)
from servicebus.protocol.control_messages import CANCEL, Cancellation
from servicebus.protocol.envelope import (
    REPLY,
    OutgoingError,
    OutgoingReply,
    OutgoingRequest,
)
from servicebus.security import Keyring
from servicebus.security.signing import SigningCodec
from servicebus.testing.servers import Server

from ...support.faults.fleet import Fleet, drained, fleet
from ...support.faults.record import Figures, Record
from ...support.faults.sizes import sized
from ...support.faults.worker_site import CHANNEL as SITE
from ...support.keys import (
    KEYS,
    LENIENT,
    NEW,
    OLD,
    STRANGERS,
    content,
    push,
)
from ...support.timing import MS, eventually

CHANNEL, OTHER, INBOX = "shop.request", "other.request", "4f2a!"
FRAMES = 1000
REAL, BAD = 200, 100
AT_ONCE, WORKERS, CALLERS = 16, 2, 2


def shapes(draw: random.Random) -> list[tuple[str, Any, Decode[Any]]]:
    """What is sent where, of any size, and how it is read."""
    reply_channel, body = f"response.tests.4f2a!{draw.getrandbits(64):x}", draw.randbytes(draw.choice([0, 9, 99, 400]))
    headers = {"tenant": "t1", "flag-new": "true"}
    notice = Cancellation(CANCEL, "response.tests.4f2a!", [f"{draw.getrandbits(64):x}" for _ in range(3)])
    return [
        (CHANNEL, OutgoingRequest("echo", body, reply_channel, 2**40), decode_request),
        (CHANNEL, OutgoingRequest("echo", {"n": [1, body]}, reply_channel, 2**40, "c1", headers), decode_request),
        (CHANNEL, OutgoingRequest("recount", body, caller="tests"), decode_request),
        (INBOX, OutgoingReply(REPLY, body), decode_reply),
        (INBOX, OutgoingError("error", "internal", "yes", "no", {"n": 1}), decode_reply),
        (INBOX, notice, decode_reply),
    ]


def accepted(frame: bytes, decode: Decode[Any]) -> int:
    """1 for one that is taken. Raises for anything but a verdict."""
    try:
        decode(frame, LARGEST_MESSAGE)
    except MalformedFrame:
        return 0
    return 1


def flips(frame: bytes) -> Iterator[bytes]:
    """The frame with each of its bits flipped."""
    flipped = bytearray(frame)
    for at in range(len(frame)):
        for bit in range(8):
            flipped[at] ^= 1 << bit
            yield bytes(flipped)
            flipped[at] ^= 1 << bit


@pytest.mark.row(31)
def test_no_frame_of_which_one_bit_was_flipped_is_taken(figures: Figures) -> None:
    draw, strict, lenient = random.Random(31), SigningCodec(KEYS, "asgi"), SigningCodec(LENIENT, "asgi")
    genuine = flipped = taken = 0
    for _ in range(FRAMES):
        channel, message, decode = draw.choice(shapes(draw))
        frame = strict.encode_sent(7, 2**40, "response.tests!x", message, 2**39, LARGEST_MESSAGE, channel)
        for codec in (strict, lenient):
            genuine += accepted(frame, codec.reading(channel, decode))
        read = strict.reading(channel, decode)
        for spoiled in flips(frame):
            taken += accepted(spoiled, read)
            flipped += 1
        # Unsigned frames are told from signed ones by the first byte, and by nothing else.
        taken += sum(accepted(spoiled, lenient.reading(channel, decode)) for spoiled in islice(flips(frame), 8))
    figures(31, f"{flipped:,} bits of {FRAMES:,} frames flipped: {taken} accepted")
    assert (genuine, taken) == (2 * FRAMES, 0)


class Enemy:
    """Somebody who reads and writes on the server, and has no key."""

    def __init__(self, server: Server, draw: random.Random) -> None:
        self._server, self._draw = server, draw
        self.pushed = 0

    def spoiled(self, frame: bytes) -> bytes:
        changed = bytearray(frame)
        changed[self._draw.randrange(len(frame))] ^= 1 << self._draw.randrange(8)
        return bytes(changed)

    def stripped(self, frame: bytes) -> bytes:
        """What it says, without its signature."""
        plain: bytes = msgpack.packb(msgpack.unpackb(frame)[:5])
        return plain

    def resigned(self, frame: bytes, channel: str) -> bytes:
        """What it says, signed with a key of one's own under the name of the right one."""
        return SigningCodec(STRANGERS, "asgi").restamped(frame, msgpack.unpackb(frame)[0], channel)

    def push(self, channel: str, frames: list[bytes]) -> None:
        self._draw.shuffle(frames)
        push(self._server, channel, *frames)
        self.pushed += len(frames)


@pytest.mark.row(31)
async def test_frames_pushed_by_an_attacker_run_nothing_and_answer_no_call(
    own_server: Server, figures: Figures
) -> None:
    enemy, handled, service = Enemy(own_server, random.Random(310)), Counter[int](), Service("shop")

    @service.handler("run")
    async def run(message: dict[str, Any]) -> int:
        handled[message["n"]] += 1
        return int(message["n"])

    for channel in (CHANNEL, OTHER):
        own_server.register(channel)
    async with ServiceBus(own_server.url, signing=KEYS) as bus, ServiceBus(own_server.url, signing=KEYS) as worker:
        calls = [asyncio.create_task(bus.call(CHANNEL, {"type": "run", "n": n}, timeout=60.0)) for n in range(REAL)]
        strays = [asyncio.create_task(bus.call(OTHER, {"type": "run", "n": -1}, timeout=60.0)) for n in range(BAD)]
        await eventually(lambda: len(own_server.frames(CHANNEL)) == REAL and len(own_server.frames(OTHER)) == BAD)
        real, moved = own_server.frames(CHANNEL), own_server.frames(OTHER)
        copied, others = real[:BAD], real[BAD : 2 * BAD]
        enemy.push(
            CHANNEL,
            [
                *copied,
                *moved,
                *map(enemy.spoiled, others),
                *map(enemy.stripped, others),
                *(enemy.resigned(frame, CHANNEL) for frame in others),
            ],
        )
        inbox, caller = bus.session.caller.inbox.name, bus.counters
        lies = [forged(frame) for frame in real]
        resigned = [enemy.resigned(lie, inbox) for lie in lies]
        elsewhere = [SigningCodec(KEYS, "asgi").restamped(lie, 0, "another!") for lie in lies]
        enemy.push(inbox, [*lies, *resigned, *elsewhere, *map(enemy.spoiled, elsewhere)])
        await eventually(lambda: caller.rejected_frames == 4 * REAL)
        async with worker.serving(service):
            assert await asyncio.gather(*calls) == list(range(REAL))
            enemy.push(CHANNEL, real[:])
            await eventually(lambda: worker.counters.rejected_frames == 5 * BAD + REAL)
            assert await bus.call(CHANNEL, {"type": "run", "n": REAL}) == REAL
        for stray in strays:
            stray.cancel()
        await asyncio.wait(strays)
        assert (caller.rejected_frames, caller.late_replies) == (4 * REAL, 0)
    assert handled == Counter(range(REAL + 1))
    assert worker.counters.rejected_frames == 5 * BAD + REAL
    figures(31, f"{enemy.pushed:,} frames of an enemy beside {REAL + 1} calls: each ran once, 0 others, all counted")


def forged(request: bytes) -> bytes:
    """A reply to a request that somebody else has read."""
    channel: str = msgpack.unpackb(request)[3]["reply_channel"]
    start, _, unique = channel.partition("!")
    lie: bytes = msgpack.packb([0, 2**63, f"{start.rpartition('.')[0]}!{unique}", {"type": "reply", "body": -1}])
    return lie


PHASES = {
    "before": Keyring("old", {"old": OLD}),
    "verify both": Keyring("old", {"old": OLD, "new": NEW}),
    "sign with the new": Keyring("new", {"old": OLD, "new": NEW}),
    "drop the old": Keyring("new", {"new": NEW}),
}


class Caller:
    """A process that calls, as far as its bus goes: it is followed by one with other keys."""

    def __init__(self, url: str, keys: Path) -> None:
        self._url, self._keys = url, keys
        self.rejected = 0

    async def start(self) -> None:
        bus = ServiceBus(self._url, signing=Keyring.from_file(self._keys))
        await bus.open()
        self.bus = bus

    async def restart(self) -> None:
        before = self.bus
        await self.start()
        await eventually(lambda: before.pending == 0)
        await self._end(before)

    async def end(self) -> None:
        await self._end(self.bus)

    async def _end(self, bus: ServiceBus) -> None:
        self.rejected += bus.counters.rejected_frames
        await bus.close()


class Rolling:
    """Two workers and two callers, restarted one after another, and calls that go on."""

    def __init__(self, workers: Fleet, callers: list[Caller], keys: Path) -> None:
        self._workers, self._callers, self._keys = workers, callers, keys
        self.made = self.restarts = 0
        self.errors: Counter[str] = Counter()
        self.done = asyncio.Event()
        self._numbers = count()

    async def start(self) -> None:
        self._deploy(PHASES["before"])
        self._workers.start(WORKERS)
        await self._workers.serving(WORKERS)
        for caller in self._callers:
            await caller.start()

    async def roll(self, at_least: int) -> None:
        """Phase by phase, evenly over the calls that are to be made."""
        steps = list(product(list(PHASES.values())[1:], self._callers))
        for number, (keyring, caller) in enumerate(steps, 1):
            self._deploy(keyring)
            self._workers.start()
            await self._workers.serving(WORKERS + 1)
            await drained(self._workers)
            await caller.restart()
            self.restarts += 2
            await self._have_made(at_least * number // len(steps))
        self.done.set()

    async def _have_made(self, number: int) -> None:
        await eventually(lambda: self.made >= number, within=60.0)

    async def call(self) -> None:
        while not self.done.is_set():
            number = next(self._numbers)
            bus = self._callers[number % CALLERS].bus
            try:
                assert await bus.call(SITE, {"type": "echo", "n": number}, timeout=10.0) == number
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what this counts
                self.errors[repr(error)] += 1
            self.made += 1

    def _deploy(self, keyring: Keyring) -> None:
        self._keys.write_bytes(content(keyring))
        self._keys.chmod(0o600)


@pytest.mark.row(32)
async def test_replacing_the_keys_in_rolling_restarts_loses_no_call(
    own_server: Server, tmp_path: Path, record: Record, figures: Figures
) -> None:
    keys = tmp_path / "keys.json"
    callers = [Caller(own_server.url, keys) for _ in range(CALLERS)]
    with fleet(tmp_path, own_server.url, record, "--keys", str(keys)) as workers:
        rolling = Rolling(workers, callers, keys)
        await rolling.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(rolling.roll(sized(20_000, 100_000)))
            for _ in range(AT_ONCE):
                group.create_task(rolling.call())
        for caller in callers:
            await caller.end()
        async with ServiceBus(own_server.url, signing=PHASES["before"]) as left_behind:
            with pytest.raises(DeadlineExceeded):
                await left_behind.call(SITE, {"type": "echo", "n": 1}, timeout=200 * MS)
        logs = [log.read_text() for log in tmp_path.glob("worker-*.log")]
    dropped = sum(log.count("a frame was dropped") for log in logs)
    figures(32, f"{rolling.restarts} restarts, {rolling.made:,} calls: {rolling.errors.total()} refused or lost")
    assert rolling.errors == {}
    assert [caller.rejected for caller in callers] == [0] * CALLERS
    assert (dropped, len(logs)) == (1, WORKERS + rolling.restarts // 2), (
        "nobody dropped a frame but that of the old key"
    )
