"""Buses whose frames are signed, on every layer, and what others push between them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import msgpack
import pytest

from servicebus import (
    Context,
    DeadlineExceeded,
    NoWorkers,
    Service,
    ServiceBus,
    ServiceBusError,
    UnknownOperation,
)
from servicebus.config import Timing
from servicebus.errors import LARGEST_MESSAGE
from servicebus.protocol.codec import encode_sent
from servicebus.security import Keyring
from servicebus.security.signing import SigningCodec
from servicebus.testing.fault_plan import FaultPlan
from servicebus.testing.faulty_bus import FaultyBus
from servicebus.testing.servers import Cluster, Server

from ...support.keys import (
    KEYS,
    LENIENT,
    NEW,
    OLD,
    STRANGERS,
    push,
)
from ...support.shop import CHANNEL, Closed
from ...support.timing import LONG, MS, PATIENT, eventually


@pytest.fixture(scope="module")
def bare_cluster() -> Iterator[Cluster]:
    """Three primaries whom nobody replaces."""
    with Cluster(node_timeout=10.0) as started:
        yield started


class Shop:
    """Notes what ran."""

    def __init__(self) -> None:
        self.ran: list[Any] = []
        self.ended: list[Any] = []
        self.release = asyncio.Event()
        self.service = Service("shop")
        self.service.handler("run")(self._run)
        self.service.handler("wait")(self._wait)
        self.service.handler("fail")(self._fail)
        self.service.on("orders.placed")(self._placed)

    async def _run(self, message: dict[str, Any]) -> Any:
        self.ran.append(message["n"])
        return message["n"]

    async def _wait(self, message: dict[str, Any], context: Context) -> None:
        self.ran.append(message["n"])
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.ended.append(message["n"])
            raise

    async def _fail(self, message: dict[str, Any]) -> None:
        raise Closed(until="noon")

    async def _placed(self, event: dict[str, Any]) -> None:
        self.ran.append(event["n"])


@asynccontextmanager
async def signing(
    url: str, caller: Keyring | None = KEYS, worker: Keyring | None = KEYS, timing: Timing | None = None
) -> AsyncIterator[tuple[ServiceBus, ServiceBus, Shop]]:
    """A caller's bus, and one that serves a shop."""
    shop = Shop()
    async with (
        ServiceBus(url, service="worker", signing=worker, timing=timing) as serving,
        serving.serving(shop.service),
    ):
        async with ServiceBus(url, service="tests", signing=caller, timing=timing) as bus:
            yield bus, serving, shop


def run(n: Any) -> dict[str, Any]:
    return {"type": "run", "n": n}


async def test_calls_messages_events_errors_and_refusals_are_signed_and_verified(url: str) -> None:
    async with signing(url) as (bus, worker, shop):
        assert await bus.call(CHANNEL, run(1)) == 1
        await bus.send(CHANNEL, run(2))
        await bus.publish("orders.placed", {"n": 3})
        await eventually(lambda: sorted(shop.ran) == [1, 2, 3])
        with pytest.raises(Closed):
            await bus.call(CHANNEL, {"type": "fail"})
        with pytest.raises(UnknownOperation):
            await bus.call(CHANNEL, {"type": "nothing"})
        assert (worker.counters.rejected_frames, bus.counters.rejected_frames) == (0, 0)


async def test_a_cancel_notice_is_signed_and_followed(url: str) -> None:
    async with signing(url) as (bus, worker, shop):
        call = asyncio.create_task(bus.call(CHANNEL, {"type": "wait", "n": 1}))
        await eventually(lambda: shop.ran == [1])
        call.cancel()
        await eventually(lambda: shop.ended == [1])
        assert worker.counters.rejected_frames == 0


@pytest.mark.parametrize(
    ("caller", "worker"),
    [
        (Keyring("old", {"old": OLD, "new": NEW}), KEYS),
        (None, LENIENT),
        (LENIENT, None),
        (LENIENT, KEYS),
        (LENIENT, LENIENT),
    ],
    ids=["keys rolled", "unsigned caller", "unsigned worker", "one lenient", "both lenient"],
)
async def test_who_is_a_step_ahead_is_understood(url: str, caller: Keyring | None, worker: Keyring | None) -> None:
    async with signing(url, caller, worker) as (bus, serving, _):
        assert await bus.call(CHANNEL, run(1)) == 1
        assert (serving.counters.rejected_frames, bus.counters.rejected_frames) == (0, 0)


@pytest.mark.parametrize(
    ("caller", "worker"),
    [(None, KEYS), (STRANGERS, KEYS), (STRANGERS, LENIENT)],
    ids=["unsigned", "another key", "another key to a lenient worker"],
)
async def test_who_has_no_key_is_not_heard_and_gets_no_answer(
    url: str, caller: Keyring | None, worker: Keyring, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "servicebus")
    async with signing(url, caller, worker) as (bus, serving, shop):
        with pytest.raises(DeadlineExceeded) as caught:
            await bus.call(CHANNEL, run(1), timeout=100 * MS)
        assert caught.value.executed == "maybe"
        assert (shop.ran, serving.counters.rejected_frames, bus.counters.rejected_frames) == ([], 1, 0)
    assert "a frame was dropped: it" in caplog.text


async def test_a_reply_that_is_not_signed_is_dropped(url: str) -> None:
    async with signing(url, KEYS, None) as (bus, _, shop):
        with pytest.raises(DeadlineExceeded):
            await bus.call(CHANNEL, run(1), timeout=100 * MS)
        assert (shop.ran, bus.counters.rejected_frames) == ([1], 1)


async def test_a_message_that_arrives_twice_runs_once(url: str) -> None:
    shop, faults = Shop(), FaultPlan()
    faults.duplicate(CHANNEL, times=20)
    async with ServiceBus(url, signing=KEYS) as worker, worker.serving(shop.service):
        async with FaultyBus(url, faults=faults, signing=KEYS) as bus:
            for n in range(10):
                assert await bus.call(CHANNEL, run(n)) == n
                await bus.send(CHANNEL, run(n + 10))
            await eventually(lambda: worker.counters.rejected_frames == 20)
    assert sorted(shop.ran) == list(range(20))


async def test_a_frame_that_cannot_be_remembered_neither_runs_nor_is_denied(url: str) -> None:
    async with signing(url) as (bus, worker, shop):
        assert worker.wire.codec.replays is not None
        worker.wire.codec.replays.limit = 2
        assert [await bus.call(CHANNEL, run(n)) for n in range(2)] == [0, 1]
        with pytest.raises(DeadlineExceeded) as caught:
            await bus.call(CHANNEL, run(2), timeout=100 * MS)
        assert caught.value.executed == "maybe"
        assert (shop.ran, worker.counters.rejected_frames) == ([0, 1], 1)


async def test_an_expired_copy_gets_no_answer_because_it_may_have_run(server: Server) -> None:
    async with signing(server.url) as (bus, worker, shop):
        await bus.send(CHANNEL, run(0))
        await eventually(lambda: shop.ran == [0])
        request = {"type": "run", "body": run(1), "reply_channel": "response.tests.abc!x"}
        frame = bus.wire.codec.encode_sent(0, bus.now_ms() - 10, "", request, 0, LARGEST_MESSAGE, CHANNEL)
        push(server, CHANNEL, frame)
        await eventually(lambda: worker.counters.expired_messages == 1)
        assert await bus.call(CHANNEL, run(2)) == 2
        assert server.all_keys("*abc!*") == []
    assert shop.ran == [0, 2]


async def test_what_was_signed_for_another_channel_or_prefix_is_dropped(server: Server) -> None:
    async with signing(server.url) as (bus, worker, shop):
        strays = [
            SigningCodec(KEYS, prefix).encode_sent(0, bus.now_ms() + 5000, "", run(1), 0, LARGEST_MESSAGE, channel)
            for prefix, channel in (("asgi", "other.request"), ("asgi", "shop.events"), ("other", CHANNEL))
        ]
        push(server, CHANNEL, *strays, b"\x1b[31m\r\nall is lost")
        await eventually(lambda: worker.counters.rejected_frames == 4)
        assert await bus.call(CHANNEL, run(2)) == 2
    assert shop.ran == [2]


async def test_a_forged_cancel_notice_ends_no_call(server: Server) -> None:
    async with signing(server.url) as (bus, worker, shop):
        call = asyncio.create_task(bus.call(CHANNEL, {"type": "wait", "n": 1}))
        await eventually(lambda: shop.ran == [1])
        (pending,) = bus.session.caller._calls._pending.values()
        unique = pending.id.partition("!")[2]
        word = {"type": "+cancel", "prefix": bus.session.caller.inbox.reply_prefix, "calls": [unique]}
        push(server, worker.session.caller.inbox.name, msgpack.packb([0, 2**63, "+cancel", word]))
        await eventually(lambda: worker.counters.rejected_frames == 1)
        assert shop.ended == []
        shop.release.set()
        await call


async def test_what_waited_for_a_server_is_signed_for_its_new_primary(
    own_server: Server,
) -> None:
    async with signing(own_server.url, timing=PATIENT) as (bus, worker, shop):
        own_server.kill()
        await asyncio.sleep(20 * MS)
        sends = [asyncio.create_task(bus.send(CHANNEL, run(n))) for n in range(50)]
        await asyncio.sleep(20 * MS)
        await own_server.restart()
        await asyncio.gather(*sends)
        await eventually(lambda: len(shop.ran) == 50)
        assert shop.ran == list(range(50))
        assert (worker.counters.rejected_frames, worker.counters.fenced_frames) == (0, 0)


async def more(shop: Shop, number: int) -> None:
    """Return when so many more have run."""
    before = len(shop.ran)
    await eventually(lambda: len(shop.ran) >= before + number, within=LONG)


async def moved(cluster: Cluster, channel: str) -> None:
    """To another primary."""
    key = f"asgi:{{{channel}}}"
    home = cluster.node_of(key)
    target = next(one for one in map(cluster.primary, range(3)) if one is not home)
    await cluster.move_slot(cluster.slot_of(key), target)


async def test_signed_frames_follow_their_slots_and_none_is_taken_for_a_copy(
    bare_cluster: Cluster, patient: Timing
) -> None:
    done = asyncio.Event()

    async def calling(numbers: Iterator[int]) -> None:
        while not done.is_set():
            n = next(numbers)
            assert await bus.call(CHANNEL, run(n), timeout=20.0) == n

    async with signing(bare_cluster.url, timing=patient) as (bus, worker, shop):
        numbers = count()
        async with asyncio.TaskGroup() as callers:
            for _ in range(8):
                callers.create_task(calling(numbers))
            for name in (CHANNEL, bus.session.caller.inbox.name, CHANNEL):
                await more(shop, 100)
                await moved(bare_cluster, name)
            done.set()
        assert sorted(shop.ran) == list(range(next(numbers)))
        assert (worker.counters.rejected_frames, worker.counters.fenced_frames, bus.counters.rejected_frames) == (
            0,
            0,
            0,
        )


async def test_a_backlog_of_signed_frames_moves_with_its_slot(bare_cluster: Cluster) -> None:
    shop = Shop()
    async with ServiceBus(bare_cluster.url, signing=KEYS) as bus:
        for n in range(10):
            await bus.send(CHANNEL, run(n))
        await moved(bare_cluster, CHANNEL)
        await bus.send(CHANNEL, run(10))
        async with ServiceBus(bare_cluster.url, signing=KEYS) as worker, worker.serving(shop.service):
            await eventually(lambda: shop.ran == list(range(11)))
            assert (worker.counters.rejected_frames, worker.counters.fenced_frames) == (0, 0)


async def test_a_call_to_nobody_is_refused_as_ever(url: str) -> None:
    async with ServiceBus(url, signing=KEYS) as bus:
        with pytest.raises(NoWorkers):
            await bus.call("nobody.request", run(1))


async def test_a_rejection_is_logged_in_one_line(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "servicebus")
    named = b"\x98" + b"\n" * 40 + b"\xa5" + b"a\nb\x1bc" + b"\xcf" + bytes(8) + b"\xc4\x10" + b"\r" * 16
    async with signing(server.url) as (bus, worker, _):
        push(server, CHANNEL, named, b"\x98\n\r\x1b", encode_sent(0, 2**63, "\n", run(1), 1, LARGEST_MESSAGE))
        await eventually(lambda: worker.counters.rejected_frames == 3)
        with pytest.raises(ServiceBusError):
            await bus.call(CHANNEL, {"type": "nothing"})
    assert len(caplog.records) == 3
    assert all(record.getMessage().isprintable() for record in caplog.records)
