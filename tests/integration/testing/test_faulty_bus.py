from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from servicebus import ChannelFull, DeadlineExceeded, ServiceBus, Unavailable
from servicebus.testing.fault_plan import FaultPlan
from servicebus.testing.faulty_bus import FaultyBus

from ...support.history import History, Run
from ...support.timing import LONG, MS, eventually

CHANNEL = "shop.request"


@pytest.fixture
async def bus(url: str) -> AsyncIterator[FaultyBus]:
    """The caller's bus, with an empty fault plan. No service runs yet."""
    async with FaultyBus(url, service="tests") as bus:
        yield bus


@pytest.fixture
async def found(url: str, bus: FaultyBus) -> AsyncIterator[History]:
    """A service on an ordinary bus, and the history of its calls."""
    found = History()
    async with ServiceBus(url, service="shop") as worker, worker.serving(found.service):
        yield found


async def test_without_a_rule_every_message_arrives(bus: FaultyBus, found: History) -> None:
    assert [await found.call(bus, number) for number in range(10)] == ["yes"] * 10
    assert found.problems() == []
    assert not bus.faults.done


async def test_a_dropped_request_never_runs_and_ends_as_maybe(bus: FaultyBus, found: History) -> None:
    bus.faults.drop(CHANNEL)
    with pytest.raises(DeadlineExceeded) as raised:
        await bus.call(CHANNEL, Run(n=1), timeout=0.1)
    assert raised.value.executed == "maybe"
    assert await found.call(bus, 2) == "yes"
    assert found.numbers("start") == [2]


async def test_a_dropped_reply_lets_the_call_time_out(url: str) -> None:
    found = History()
    async with FaultyBus(url) as worker, worker.serving(found.service), ServiceBus(url) as bus:
        worker.faults.drop("*!")
        assert await found.call(bus, 1, timeout=0.2) == "maybe"
        assert found.numbers("end") == [1]
        assert found.problems() == []


async def test_a_delayed_request_is_overtaken(bus: FaultyBus, found: History) -> None:
    bus.faults.delay(CHANNEL, seconds=50 * MS)
    assert await asyncio.gather(*(found.call(bus, number) for number in (1, 2))) == ["yes", "yes"]
    assert found.numbers("start") == [2, 1]


async def test_a_request_delayed_beyond_its_deadline_is_withdrawn(bus: FaultyBus, found: History) -> None:
    bus.faults.delay(CHANNEL, seconds=200 * MS)
    assert await found.call(bus, 1, timeout=0.05) == "no"
    await asyncio.sleep(250 * MS)
    assert found.numbers("start") == []


async def test_closing_the_bus_refuses_its_delayed_messages(url: str) -> None:
    async with FaultyBus(url) as bus:
        bus.faults.delay(seconds=60)
        sending = asyncio.create_task(bus.send(CHANNEL, {"type": "x"}))
        await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="closed before"):
        await sending


async def test_a_duplicate_runs_twice_and_the_checker_reports_it(bus: FaultyBus, found: History) -> None:
    bus.faults.duplicate(CHANNEL)
    assert await found.call(bus, 1) == "yes"
    await eventually(lambda: found.count("end") == 2)
    assert found.problems() == ["1 started 2 times"]


async def test_the_second_copy_of_a_reply_is_ignored(url: str) -> None:
    found = History()
    async with FaultyBus(url) as worker, worker.serving(found.service), ServiceBus(url) as bus:
        worker.faults.duplicate("*!", times=20)
        assert [await found.call(bus, number) for number in range(20)] == ["yes"] * 20
        assert found.problems() == []
        await eventually(lambda: bus.counters.late_replies == 20)


async def test_withdrawing_a_duplicated_request_withdraws_its_copy(url: str, bus: FaultyBus) -> None:
    """The only worker is busy, so both copies stay in the channel."""
    found, gate = History(), asyncio.Event()

    async def wait(number: int) -> None:
        await gate.wait()

    found.work = wait
    async with ServiceBus(url) as worker, worker.serving(found.service, concurrency=1):
        busy = asyncio.create_task(found.call(bus, 1, timeout=5.0))
        await eventually(lambda: found.count("start") == 1)
        bus.faults.duplicate(CHANNEL)
        assert await found.call(bus, 2, timeout=0.1) == "no"
        gate.set()
        assert await busy == "yes"
        assert await found.call(bus, 3) == "yes"
    assert found.problems() == []


async def test_a_refused_message_raises_channel_full(bus: FaultyBus, found: History) -> None:
    bus.faults.refuse(CHANNEL, times=2)
    for _ in range(2):
        with pytest.raises(ChannelFull):
            await bus.send(CHANNEL, {"type": "run", "n": 1})
    assert await found.call(bus, 2) == "yes"
    assert bus.faults.done == {"refuse": 2}


async def test_a_dropped_event_never_arrives(url: str) -> None:
    found = History()
    got = asyncio.Queue[int]()

    @found.service.on("orders.placed")
    async def on_placed(event: dict[str, int]) -> None:
        await got.put(event["n"])

    async with ServiceBus(url) as worker, worker.serving(found.service), FaultyBus(url) as bus:
        bus.faults.drop("shop.events")
        await bus.publish("orders.placed", {"n": 1})
        await bus.publish("orders.placed", {"n": 2})
        async with asyncio.timeout(LONG):
            assert await got.get() == 2


def test_the_oldest_rule_for_the_channel_is_applied_first() -> None:
    faults = FaultPlan()
    faults.drop("a.*", times=2)
    faults.refuse("a.request")
    faults.delay(seconds=1.0, times=0)
    actions = [
        faults.next(channel).action for channel in ("b", "a.request", "a.events", "a.events", "a.request", "a.request")
    ]
    assert actions == ["pass", "drop", "drop", "pass", "refuse", "pass"]
    assert faults.done == {"drop": 2, "refuse": 1}


def test_clear_removes_all_rules() -> None:
    faults = FaultPlan()
    faults.drop(times=100)
    faults.clear()
    assert faults.next("a").action == "pass"
