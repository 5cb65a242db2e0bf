from __future__ import annotations

import asyncio
import time
import types
from typing import Any

import msgpack
import msgspec
import pytest

from servicebus import (
    ConfigurationError,
    NoWorkers,
    RemoteError,
    SendUnknown,
    Service,
    ServiceBus,
)

from ...support.shop import (
    CHANNEL,
    Count,
    Line,
    Reserve,
    Reserved,
    SoldOut,
    calling,
    counter,
)
from ...support.timing import MS, eventually
from ...support.transport import Layers, Reader


async def test_a_typed_call_returns_the_type_that_its_request_declares(url: str) -> None:
    async with calling(url, counter()) as bus:
        reply = await bus.call(CHANNEL, Reserve(order_id="o-1", lines=[Line("A", 2), Line("B", 3)]))
        assert reply == Reserved("o-1", 5)
        assert await bus.call(CHANNEL, Count(upto=7)) == 7


async def test_an_untyped_call_gets_plain_values(url: str) -> None:
    async with calling(url, counter()) as bus:
        flat = {"type": "reserve", "order_id": "o-1", "lines": [{"sku": "A", "quantity": 2}]}
        assert await bus.call(CHANNEL, flat) == {"order_id": "o-1", "units": 2}
        values: dict[str, Any] = {
            "type": "echo",
            "none": None,
            "bytes": b"\0",
            "list": [1, 2.5, True],
            "map": {"a": {}},
            "big": 2**63,
        }
        assert await bus.call(CHANNEL, values) == {**values, "caller_has": "plain values"}
        assert await bus.call(CHANNEL, types.MappingProxyType({"type": "plain"})) == "tests"


async def test_nothing_is_pending_after_calls_have_ended(url: str) -> None:
    async with calling(url, counter()) as bus:
        assert bus.pending == 0
        calls = [asyncio.create_task(bus.call(CHANNEL, Count(upto=n))) for n in range(50)]
        await asyncio.sleep(0)
        assert bus.pending == 50
        await asyncio.gather(*calls)
        assert bus.pending == 0
        assert bus.counters.calls == 50


async def test_ten_thousand_calls_are_each_answered_with_their_own_reply(url: str) -> None:
    async with calling(url, counter()) as bus:
        assert await bus.gather(*((CHANNEL, Count(upto=n)) for n in range(10_000))) == list(range(10_000))


async def test_gathered_replies_come_in_the_order_of_the_calls(url: str) -> None:
    async with calling(url, counter("shop"), counter("other")) as bus:
        one, two = ("shop.request", Count(upto=1)), ("other.request", Count(upto=2))
        assert await bus.gather(one, two, ("shop.request", {"type": "plain"})) == [1, 2, "tests"]
        assert await bus.gather() == []


async def test_gathering_raises_the_first_error_in_order_when_all_are_done(url: str) -> None:
    async with calling(url, counter()) as bus:
        sold_out = (CHANNEL, Reserve(order_id="o-1", lines=[]))
        nobody = ("nobody.request", Count())
        with pytest.raises(SoldOut):
            await bus.gather((CHANNEL, Count()), sold_out, nobody)
        with pytest.raises(NoWorkers):
            await bus.gather((CHANNEL, Count()), nobody, sold_out)
        outcomes = await bus.gather((CHANNEL, Count(upto=1)), nobody, sold_out, return_exceptions=True)
        assert outcomes[0] == 1
        assert [type(outcome) for outcome in outcomes[1:]] == [NoWorkers, SoldOut]
        assert bus.pending == 0


async def test_a_cancelled_gather_cancels_its_calls(url: str) -> None:
    service, started = Service("shop"), list[int]()

    @service.handler
    async def count(request: Count) -> int:
        started.append(request.upto)
        await asyncio.sleep(60)
        return request.upto

    async with calling(url, service) as bus:
        gathering = asyncio.create_task(bus.gather(*((CHANNEL, Count(upto=n)) for n in range(10))))
        await eventually(lambda: len(started) == 10)
        gathering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathering
        assert bus.pending == 0


async def test_a_message_sent_one_way_is_handled_once_and_in_order(url: str) -> None:
    seen: list[Any] = []
    service = Service("shop")

    @service.handler("note")
    async def note(message: dict[str, Any]) -> None:
        seen.append(message["n"])

    async with calling(url, service) as bus:
        for number in range(100):
            await bus.send(CHANNEL, {"type": "note", "n": number})
        await eventually(lambda: len(seen) == 100)
        assert bus.pending == 0
    assert seen == list(range(100))


async def test_a_message_may_be_sent_before_there_is_a_worker(url: str) -> None:
    seen: list[Any] = []
    service = Service("shop")

    @service.handler
    async def count(request: Count) -> int:
        seen.append(request.upto)
        return 0

    async with ServiceBus(url) as bus:
        await bus.send(CHANNEL, Count(upto=1))
        async with calling(url, service):
            await eventually(lambda: seen == [1])


async def test_a_bus_that_is_not_open_refuses_everything() -> None:
    bus = ServiceBus("memory://")
    for using in (bus.call(CHANNEL, Count()), bus.send(CHANNEL, Count()), bus.publish("x", 1), bus.workers(CHANNEL)):
        with pytest.raises(ConfigurationError, match="the bus is not open"):
            await using
    assert bus.pending == 0
    await bus.close()


async def test_a_bus_cannot_be_opened_twice_at_once_but_again_after_closing(url: str) -> None:
    bus = ServiceBus(url)
    async with bus:
        with pytest.raises(ConfigurationError, match="is open already"):
            await bus.open()
    async with bus, calling(url, counter()):
        assert await bus.call(CHANNEL, Count(upto=1)) == 1
    await bus.close()


async def test_calls_that_are_pending_when_the_bus_closes_may_have_run(url: str) -> None:
    service, started, go_on = Service("shop"), asyncio.Event(), asyncio.Event()

    @service.handler
    async def count(request: Count) -> int:
        started.set()
        await go_on.wait()
        return 0

    async with ServiceBus(url) as worker, worker.serving(service):
        bus = ServiceBus(url)
        await bus.open()
        call = asyncio.create_task(bus.call(CHANNEL, Count()))
        await started.wait()
        await bus.close()
        with pytest.raises(SendUnknown) as caught:
            await call
        assert caught.value.executed == "maybe"
        go_on.set()


async def test_workers_are_counted_and_waited_for(url: str) -> None:
    async with ServiceBus(url) as bus:
        assert await bus.workers(CHANNEL) == 0
        with pytest.raises(NoWorkers):
            await bus.wait_for_workers(CHANNEL, timeout=20 * MS)
        waiting = asyncio.create_task(bus.wait_for_workers(CHANNEL, "other.request"))
        async with calling(url, counter(), counter("other")), calling(url, counter()):
            await waiting
            assert await bus.workers(CHANNEL) == 2


async def test_a_bus_serves_and_calls_itself(url: str) -> None:
    async with ServiceBus(url, service="all") as bus, bus.serving(counter()), bus.serving(counter("other")):
        assert await bus.call(CHANNEL, Count(upto=1)) == 1
        assert await bus.call("other.request", {"type": "plain"}) == "all"


async def test_the_clock_of_the_bus_is_in_milliseconds_and_near_ours(url: str) -> None:
    async with ServiceBus(url) as bus:
        assert abs(bus.now_ms() - time.time() * 1000) < 100


async def test_a_reply_that_is_not_what_the_contract_says_is_a_remote_error(url: str) -> None:
    service = Service("shop")

    @service.handler("reserve")
    async def reserve(message: dict[str, Any]) -> dict[str, Any]:
        return {"order_id": 7}

    async with calling(url, service) as bus:
        with pytest.raises(RemoteError, match="not what the contract says") as caught:
            await bus.call(CHANNEL, Reserve(order_id="o-1", lines=[]))
    assert (caught.value.code, caught.value.executed) == ("reply_invalid", "yes")


async def test_struct_events_and_replies_of_any_shape_arrive(url: str) -> None:
    service = Service("shop")

    @service.handler("shape")
    async def shape(message: dict[str, Any]) -> Any:
        return [None, 1, "x", Line("A", 1), {"k": [Line("B", 2)]}]

    async with calling(url, service) as bus:
        reply = await bus.call(CHANNEL, {"type": "shape"})
    assert reply == [None, 1, "x", {"sku": "A", "quantity": 1}, {"k": [{"sku": "B", "quantity": 2}]}]
    assert msgspec.convert(reply[3], Line) == Line("A", 1)


async def test_a_message_to_a_process_local_channel_lies_in_its_inbox(url: str) -> None:
    layers = Layers(url)
    inbox = Reader(await layers.open(), "4f2a!")
    async with ServiceBus(url) as bus:
        await bus.send("specific.4f2a!one", {"type": "x"})
        await bus.send("other.4f2a!two", {"type": "x"})
        await bus.send("specific.77cd!one", {"type": "x"})
        await inbox.has_read(2)
    assert [msgpack.unpackb(frame)[2] for frame in inbox.frames] == ["specific!one", "other!two"]
    await layers.close()


async def test_a_bus_used_on_another_event_loop_says_so(url: str) -> None:
    async def elsewhere(bus: ServiceBus) -> None:
        for using in (bus.call(CHANNEL, Count()), bus.send(CHANNEL, Count())):
            with pytest.raises(ConfigurationError, match="from elsewhere use bus"):
                await using

    async with calling(url, counter()) as bus:
        await asyncio.to_thread(lambda: asyncio.run(elsewhere(bus)))
        assert await bus.call(CHANNEL, Count(upto=1)) == 1


async def test_closing_goes_on_when_the_wait_for_it_is_cancelled(url: str) -> None:
    service, started, ended = Service("shop"), asyncio.Event(), asyncio.Event()

    @service.handler
    async def count(request: Count) -> int:
        started.set()
        await asyncio.sleep(0.1)
        ended.set()
        return 1

    async with ServiceBus(url) as bus:
        worker = ServiceBus(url)
        await worker.open()
        serving = asyncio.create_task(served(worker, service))
        await bus.wait_for_workers(CHANNEL)
        call = asyncio.create_task(bus.call(CHANNEL, Count()))
        await started.wait()
        closing = asyncio.create_task(worker.close())
        await asyncio.sleep(10 * MS)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        await asyncio.gather(worker.close(), worker.close())
        assert ended.is_set()
        assert await call == 1
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def served(bus: ServiceBus, service: Service) -> None:
    async with bus.serving(service):
        await asyncio.Event().wait()
