"""The Redis layer between a client and a server that are cut off from each other in every way there is."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from servicebus import (
    DeadlineExceeded,
    NoWorkers,
    SendUnknown,
    Service,
    ServiceBus,
    ServiceBusError,
    Unavailable,
)
from servicebus.layers.redis.scripts import SEND

from ...proxy import Proxy, proxied
from ...server import RealServer
from ...shop import CHANNEL, calling
from ...timing import MS, Stopwatch, eventually


class Counted:
    """A service that counts how often it ran each number."""

    def __init__(self) -> None:
        self.ran: Counter[int] = Counter()
        self.service = Service("shop")
        self.service.handler("run")(self.run)

    async def run(self, message: dict[str, Any]) -> int:
        number: int = message["n"]
        self.ran[number] += 1
        return number


@pytest.fixture
async def proxy(server: RealServer) -> AsyncIterator[Proxy]:
    async with proxied(server.path) as proxy:
        yield proxy


async def outcome_of(bus: ServiceBus, number: int, timeout: float = 2.0) -> str:
    """What a call says of whether it ran: "yes" with the right reply, else what its error says."""
    try:
        assert await bus.call(CHANNEL, {"type": "run", "n": number}, timeout=timeout) == number
    except ServiceBusError as error:
        return error.executed
    return "yes"


def assert_honest(counted: Counted, outcomes: dict[int, str]) -> None:
    """At most once; a reply means that it ran, and "no" that it did not."""
    assert set(counted.ran.values()) <= {1}
    for number, executed in outcomes.items():
        assert executed != "no" or not counted.ran[number], f"{number} ran, and its caller was told that it did not"
        assert executed != "yes" or counted.ran[number]


async def test_a_cut_between_execution_and_answer_never_runs_anything_twice(server: RealServer, proxy: Proxy) -> None:
    counted, outcomes = Counted(), dict[int, str]()
    async with ServiceBus(server.url) as worker, worker.serving(counted.service), ServiceBus(proxy.url) as bus:
        for number in range(100):
            proxy.cut_before_answer = SEND.sha
            outcomes[number] = await outcome_of(bus, number)
            proxy.cut_before_answer = b""
    assert proxy.cuts >= 90
    assert_honest(counted, outcomes)
    assert set(outcomes.values()) <= {"yes", "maybe"}
    assert sum(counted.ran.values()) >= 90, "the server had executed them before the cut"


async def test_a_one_way_message_cut_off_before_the_answer_is_unknown_and_sent_once(
    server: RealServer, proxy: Proxy
) -> None:
    async with ServiceBus(proxy.url) as bus:
        for number in range(20):
            proxy.cut_before_answer = SEND.sha
            with pytest.raises(SendUnknown) as caught:
                await bus.send(CHANNEL, {"type": "run", "n": number})
            assert (caught.value.executed, caught.value.retryable) == ("maybe", False)
            proxy.cut_before_answer = b""
    assert len(server.frames(CHANNEL)) == 20


async def test_answers_cut_after_any_number_of_bytes_leave_every_caller_with_an_honest_outcome(
    server: RealServer, proxy: Proxy
) -> None:
    counted, outcomes = Counted(), dict[int, str]()

    async def call(number: int) -> None:
        outcomes[number] = await outcome_of(bus, number)

    async with ServiceBus(proxy.url) as worker, worker.serving(counted.service), ServiceBus(proxy.url) as bus:
        for start in range(0, 400, 20):
            calls = [asyncio.create_task(call(number)) for number in range(start, start + 20)]
            await asyncio.sleep(0)
            proxy.cut_after = random.randrange(1200)
            await asyncio.wait(calls, timeout=30 * MS)
            proxy.cut_after = None
            await asyncio.gather(*calls)
    assert_honest(counted, outcomes)
    assert len(outcomes) == 400


async def test_one_byte_at_a_time_everything_arrives(server: RealServer, proxy: Proxy) -> None:
    counted = Counted()
    proxy.slices = 1
    async with ServiceBus(proxy.url) as worker, worker.serving(counted.service), ServiceBus(proxy.url) as bus:
        calls = [(CHANNEL, {"type": "run", "n": number}) for number in range(30)]
        assert await bus.gather(*calls) == list(range(30))
    assert counted.ran == Counter(range(30))


async def test_a_slow_link_delays_and_mixes_nothing(server: RealServer, proxy: Proxy) -> None:
    counted = Counted()
    async with calling(server.url, counted.service), ServiceBus(proxy.url) as bus:
        proxy.delay = 20 * MS
        with Stopwatch() as watch:
            assert await bus.gather(*((CHANNEL, {"type": "run", "n": n}) for n in range(500))) == list(range(500))
    assert watch.seconds > 40 * MS


async def test_cancelled_calls_over_a_slow_link_never_get_the_reply_of_another(
    server: RealServer, proxy: Proxy
) -> None:
    counted, outcomes = Counted(), dict[int, str]()

    async def call(number: int) -> None:
        outcomes[number] = await outcome_of(bus, number)

    async with calling(server.url, counted.service), ServiceBus(proxy.url) as bus:
        await bus.call(CHANNEL, {"type": "run", "n": -1})
        proxy.delay = 10 * MS
        calls = [asyncio.create_task(call(number)) for number in range(1000)]
        for task in random.sample(calls, 500):
            asyncio.get_running_loop().call_later(random.uniform(0, 50) * MS, task.cancel)
        await asyncio.wait(calls)
        assert bus.pending == 0
    assert_honest(counted, outcomes)
    assert len(outcomes) >= 500


async def test_a_half_open_link_of_a_worker_is_noticed_in_about_a_second_and_a_half(
    server: RealServer, proxy: Proxy
) -> None:
    counted = Counted()
    async with ServiceBus(server.url) as bus, ServiceBus(proxy.url) as worker, worker.serving(counted.service):
        await bus.call(CHANNEL, {"type": "run", "n": 0})
        before = set(server.clients())
        proxy.black_hole = True
        noticed = await eventually(lambda: len(before - set(server.clients())) >= 1, within=3.0)
        proxy.black_hole = False
        assert noticed < 2.1
        assert await outcome_of(bus, 1, timeout=5.0) in ("yes", "maybe")
        await bus.wait_for_workers(CHANNEL)
        assert await outcome_of(bus, 2, timeout=5.0) == "yes"
    assert set(counted.ran.values()) <= {1}


async def test_a_call_into_a_black_hole_ends_at_its_deadline(server: RealServer, proxy: Proxy) -> None:
    async with calling(server.url, Counted().service), ServiceBus(proxy.url) as bus:
        await bus.call(CHANNEL, {"type": "run", "n": 0})
        proxy.black_hole = True
        with Stopwatch() as watch, pytest.raises(DeadlineExceeded) as caught:
            await bus.call(CHANNEL, {"type": "run", "n": 1}, timeout=0.1)
        proxy.black_hole = False
        assert 0.1 <= watch.seconds < 0.1 + 100 * MS
        assert (caught.value.stage, caught.value.executed) == ("dispatched", "maybe")


async def test_killing_any_connection_loses_no_waiting_message_and_doubles_none(server: RealServer) -> None:
    counted, outcomes = Counted(), dict[int, str]()

    async def call(number: int) -> None:
        await asyncio.sleep(random.uniform(0, 600) * MS)
        outcomes[number] = await outcome_of(bus, number, timeout=1.0)

    async with calling(server.url, counted.service) as bus:
        calls = [asyncio.create_task(call(number)) for number in range(1000)]
        for _ in range(30):
            await asyncio.sleep(20 * MS)
            server.run("CLIENT", "KILL", "ID", random.choice(list(server.clients()) or [0]), "SKIPME", "yes")
        await asyncio.gather(*calls)
        assert_honest(counted, outcomes)
        assert Counter(outcomes.values())["yes"] > 800
        await eventually(lambda: len(server.clients()) >= 4)
        assert await outcome_of(bus, 5000) == "yes"


async def test_a_flushed_script_cache_is_not_noticed_and_order_is_kept(server: RealServer) -> None:
    seen = list[int]()
    service = Service("shop")

    @service.handler("run")
    async def run(message: dict[str, Any]) -> None:
        seen.append(message["n"])

    async with calling(server.url, service) as bus:
        sends = []
        for number in range(2000):
            sends.append(asyncio.create_task(bus.send(CHANNEL, {"type": "run", "n": number})))
            if number % 40 == 0:
                server.run("SCRIPT", "FLUSH")
                await asyncio.sleep(0)
        await asyncio.gather(*sends)
        await eventually(lambda: len(seen) == 2000)
    assert seen == list(range(2000))


async def test_presence_and_events_survive_a_flushed_script_cache(server: RealServer) -> None:
    events = list[Any]()
    service = Service("shop")

    @service.on("orders.placed")
    async def on_placed(event: dict[str, Any]) -> None:
        events.append(event)

    async with (
        ServiceBus(server.url, presence_ttl=0.8) as worker,
        worker.serving(service),
        ServiceBus(server.url) as bus,
    ):
        server.run("SCRIPT", "FLUSH")
        await bus.publish("orders.placed", {"n": 1})
        assert await bus.workers(CHANNEL) == 1
        server.run("SCRIPT", "FLUSH")
        await asyncio.sleep(1.0)
        assert await bus.workers(CHANNEL) == 1
        await bus.publish("orders.placed", {"n": 2})
        await eventually(lambda: len(events) == 2)


async def test_a_server_that_is_started_again_is_served_within_a_second_and_nothing_runs_twice(
    own_server: RealServer,
) -> None:
    counted, outcomes = Counted(), dict[int, str]()
    async with calling(own_server.url, counted.service) as bus:
        for number, signal_number in enumerate([signal.SIGKILL, signal.SIGTERM, signal.SIGKILL]):
            first = number * 100
            calls = [asyncio.create_task(record(bus, outcomes, first + n)) for n in range(100)]
            await asyncio.sleep(random.uniform(0, 5) * MS)
            own_server.kill(signal_number)
            await asyncio.sleep(random.uniform(0, 50) * MS)
            await own_server.restart()
            assert await resumed(bus, first + 10_000) < 1.0
            await asyncio.gather(*calls)
    assert_honest(counted, outcomes)


async def record(bus: ServiceBus, outcomes: dict[int, str], number: int) -> None:
    outcomes[number] = await outcome_of(bus, number, timeout=1.0)


async def resumed(bus: ServiceBus, first: int) -> float:
    """Seconds until a fresh call is served."""
    started, number = time.monotonic(), first
    while await outcome_of(bus, number, timeout=0.2) != "yes":
        assert time.monotonic() - started < 10
        number += 1
        await asyncio.sleep(5 * MS)
    return time.monotonic() - started


async def test_what_was_sent_while_the_server_was_away_for_a_moment_is_delivered_in_order(
    own_server: RealServer,
) -> None:
    async with ServiceBus(own_server.url) as bus:
        own_server.kill()
        await asyncio.sleep(20 * MS)
        sends = [asyncio.create_task(bus.send(CHANNEL, {"type": "run", "n": n})) for n in range(50)]
        await asyncio.sleep(20 * MS)
        await own_server.restart()
        results = await asyncio.gather(*sends, return_exceptions=True)
    assert results == [None] * 50
    frames = own_server.frames(CHANNEL)
    assert len(frames) == 50
    fence = int(own_server.info("replication")["master_replid"][:8], 16).to_bytes(4, "big")
    assert {frame[1:6].lstrip(b"\xce") for frame in frames} == {fence}, "each carries the fence of the new primary"


async def test_a_server_that_stays_away_is_unavailable_and_nothing_was_executed(own_server: RealServer) -> None:
    async with ServiceBus(own_server.url, service="tests") as bus:
        await bus.send(CHANNEL, {"type": "run", "n": 0})
        own_server.kill()
        for number in (1, 2):
            with pytest.raises((Unavailable, SendUnknown)):
                await bus.send(CHANNEL, {"type": "run", "n": number})
        with Stopwatch() as watch, pytest.raises(Unavailable) as caught:
            await bus.call(CHANNEL, {"type": "run", "n": 2})
        assert watch.seconds < 50 * MS, "once it is known, nobody waits for it"
        assert (caught.value.executed, caught.value.retryable) == ("no", True)
        assert "\n" not in str(caught.value)


async def test_a_worker_that_died_silently_counts_no_more_once_its_registration_has_ended(
    server: RealServer, proxy: Proxy
) -> None:
    async with ServiceBus(server.url) as bus, ServiceBus(proxy.url, presence_ttl=1.0) as worker:
        async with worker.serving(Counted().service, drain=0.1):
            await bus.call(CHANNEL, {"type": "run", "n": 0})
            proxy.black_hole = True
            with Stopwatch() as watch:
                while await bus.workers(CHANNEL):
                    await asyncio.sleep(10 * MS)
            with pytest.raises(NoWorkers):
                await bus.call(CHANNEL, {"type": "run", "n": 1}, timeout=1.0)
            proxy.black_hole = False
        assert watch.seconds <= 1.3
