from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from servicebus import ChannelFull, DeadlineExceeded, ServiceBus, Unavailable
from servicebus.testing.fault_plan import Mischief
from servicebus.testing.faulty_bus import HarnessBus

from ...support.history import History, Run
from ...support.timing import MS, eventually

CHANNEL = "shop.request"


@pytest.fixture
async def bus(url: str) -> AsyncIterator[HarnessBus]:
    """A caller that misbehaves; nobody serves yet."""
    async with HarnessBus(url, service="tests") as bus:
        yield bus


@pytest.fixture
async def found(url: str, bus: HarnessBus) -> AsyncIterator[History]:
    """What a service that behaves has run."""
    found = History()
    async with ServiceBus(url, service="shop") as worker, worker.serving(found.service):
        yield found


async def test_without_an_order_everything_arrives(bus: HarnessBus, found: History) -> None:
    assert [await found.call(bus, number) for number in range(10)] == ["yes"] * 10
    assert found.problems() == []
    assert not bus.mischief.done


async def test_a_dropped_request_never_runs_and_its_caller_cannot_know(bus: HarnessBus, found: History) -> None:
    bus.mischief.drop(CHANNEL)
    with pytest.raises(DeadlineExceeded) as raised:
        await bus.call(CHANNEL, Run(n=1), timeout=0.1)
    assert raised.value.executed == "maybe"
    assert await found.call(bus, 2) == "yes"
    assert found.numbers("start") == [2]


async def test_a_dropped_reply_leaves_the_caller_waiting(url: str) -> None:
    found = History()
    async with HarnessBus(url) as worker, worker.serving(found.service), ServiceBus(url) as bus:
        worker.mischief.drop("*!")
        assert await found.call(bus, 1, timeout=0.2) == "maybe"
        assert found.numbers("end") == [1]
        assert found.problems() == []


async def test_a_delayed_request_is_overtaken(bus: HarnessBus, found: History) -> None:
    bus.mischief.delay(CHANNEL, seconds=50 * MS)
    assert await asyncio.gather(*(found.call(bus, number) for number in (1, 2))) == ["yes", "yes"]
    assert found.numbers("start") == [2, 1]


async def test_a_request_that_is_delayed_beyond_its_deadline_is_withdrawn(bus: HarnessBus, found: History) -> None:
    bus.mischief.delay(CHANNEL, seconds=200 * MS)
    assert await found.call(bus, 1, timeout=0.05) == "no"
    await asyncio.sleep(250 * MS)
    assert found.numbers("start") == []


async def test_a_delayed_message_of_a_closed_bus_was_not_sent(url: str) -> None:
    async with HarnessBus(url) as bus:
        bus.mischief.delay(seconds=60)
        sending = asyncio.create_task(bus.send(CHANNEL, {"type": "x"}))
        await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="closed before"):
        await sending


async def test_a_duplicate_runs_twice_and_the_checker_sees_it(bus: HarnessBus, found: History) -> None:
    bus.mischief.duplicate(CHANNEL)
    assert await found.call(bus, 1) == "yes"
    await eventually(lambda: found.count("end") == 2)
    assert found.problems() == ["1 started 2 times"]


async def test_a_duplicate_reply_is_taken_once(url: str) -> None:
    found = History()
    async with HarnessBus(url) as worker, worker.serving(found.service), ServiceBus(url) as bus:
        worker.mischief.duplicate("*!", times=20)
        assert [await found.call(bus, number) for number in range(20)] == ["yes"] * 20
        assert found.problems() == []
        await eventually(lambda: bus.counters.late_replies == 20)


async def test_a_withdrawn_duplicate_leaves_no_copy_behind(url: str, bus: HarnessBus) -> None:
    """Nobody takes anything, but a worker seems to be there."""
    found, gate = History(), asyncio.Event()

    async def wait(number: int) -> None:
        await gate.wait()

    found.work = wait
    async with ServiceBus(url) as worker, worker.serving(found.service, concurrency=1):
        busy = asyncio.create_task(found.call(bus, 1, timeout=5.0))
        await eventually(lambda: found.count("start") == 1)
        bus.mischief.duplicate(CHANNEL)
        assert await found.call(bus, 2, timeout=0.1) == "no"
        gate.set()
        assert await busy == "yes"
        assert await found.call(bus, 3) == "yes"
    assert found.problems() == []


async def test_a_full_channel_refuses(bus: HarnessBus, found: History) -> None:
    bus.mischief.refuse(CHANNEL, times=2)
    for _ in range(2):
        with pytest.raises(ChannelFull):
            await bus.send(CHANNEL, {"type": "run", "n": 1})
    assert await found.call(bus, 2) == "yes"
    assert bus.mischief.done == {"refuse": 2}


async def test_events_go_astray_too(url: str) -> None:
    found = History()
    got = asyncio.Queue[int]()

    @found.service.on("orders.placed")
    async def on_placed(event: dict[str, int]) -> None:
        await got.put(event["n"])

    async with ServiceBus(url) as worker, worker.serving(found.service), HarnessBus(url) as bus:
        bus.mischief.drop("shop.events")
        await bus.publish("orders.placed", {"n": 1})
        await bus.publish("orders.placed", {"n": 2})
        async with asyncio.timeout(5):
            assert await got.get() == 2


def test_orders_are_carried_out_one_after_the_other_for_the_channels_they_name() -> None:
    mischief = Mischief()
    mischief.drop("a.*", times=2)
    mischief.refuse("a.request")
    mischief.delay(seconds=1.0, times=0)
    acts = [
        mischief.next(channel).act for channel in ("b", "a.request", "a.events", "a.events", "a.request", "a.request")
    ]
    assert acts == ["pass", "drop", "drop", "pass", "refuse", "pass"]
    assert mischief.done == {"drop": 2, "refuse": 1}


def test_orders_can_be_taken_back() -> None:
    mischief = Mischief()
    mischief.drop(times=100)
    mischief.cease()
    assert mischief.next("a").act == "pass"
