"""What a worker does with a message, and what it tells the caller."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from servicebus import (
    Context,
    InvalidRequest,
    RemoteError,
    Request,
    Service,
    ServiceBus,
    ServiceBusError,
    UnknownOperation,
)
from servicebus.protocol.codec import encode_frame

from ...support.shop import (
    CHANNEL,
    Closed,
    Count,
    Line,
    Reserve,
    Reserved,
    calling,
)
from ...support.timing import MS, eventually
from ...support.transport import Delivery, Layers, outcomes


class Checked(Request[int]):
    """Refuses negative numbers with a reason, and zero by accident."""

    n: int

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError("negative")
        _ = 1 // self.n


service = Service("shop")


@service.handler
async def checked(request: Checked) -> int:
    return 100 // request.n


@service.handler
async def reserve(request: Reserve) -> Reserved:
    return Reserved(request.order_id, 1)


@service.handler
async def count(request: Count) -> int:
    return {0: "no number"}.get(request.upto, request.upto)  # type: ignore[return-value]


@service.handler("raise")
async def raising(message: dict[str, Any]) -> None:
    raise ValueError("postgres://user:secret@db")


@service.handler("raise_in_thread")
def raising_in_thread(message: dict[str, Any]) -> None:
    raise Closed(until="noon")


@service.handler("unencodable")
async def unencodable(message: dict[str, Any]) -> Any:
    return object()


@service.handler("unencodable_details")
async def unencodable_details(message: dict[str, Any]) -> Any:
    raise RemoteError("odd", "said so", {"x": object()})


@service.handler("large")
async def large(message: dict[str, Any]) -> Any:
    return "x" * message["size"]


@service.handler("nested")
async def nested(message: dict[str, Any], context: Context) -> Any:
    return await context.bus.call("nobody.request", {"type": "x"})


@service.handler("borrow")
async def borrow(message: dict[str, Any]) -> Any:
    raise InvalidRequest("a mistake of the handler", "$.x")


@service.handler("cancelled")
async def cancelled(message: dict[str, Any]) -> Any:
    raise asyncio.CancelledError


@pytest.fixture
async def bus(url: str) -> AsyncIterator[ServiceBus]:
    async with calling(url, service) as bus:
        yield bus
        assert bus.pending == 0


async def error_of(bus: ServiceBus, message: Any) -> ServiceBusError:
    with pytest.raises(ServiceBusError) as caught:
        await bus.call(CHANNEL, message, timeout=5.0)
    return caught.value


# Refused before the handler.


async def test_an_unknown_operation_is_refused_and_the_known_ones_are_named(bus: ServiceBus) -> None:
    error = await error_of(bus, {"type": "nothing"})
    assert isinstance(error, UnknownOperation)
    assert (error.operation, error.executed, error.retryable) == ("nothing", "no", True)
    assert {"count", "raise", "reserve"} < set(error.known)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"type": "reserve"}, "$.order_id"),
        ({"type": "reserve", "order_id": "o-1"}, "$.lines"),
        ({"type": "reserve", "order_id": 7, "lines": []}, "$.order_id"),
        ({"type": "reserve", "order_id": "o-1", "lines": [{"sku": "A", "quantity": "1"}]}, "$.lines[0].quantity"),
    ],
)
async def test_a_request_of_the_wrong_shape_is_refused_and_the_field_named(
    bus: ServiceBus, message: dict[str, Any], field: str
) -> None:
    error = await error_of(bus, message)
    assert isinstance(error, InvalidRequest)
    assert (error.field, error.executed, error.retryable) == (field, "no", False)


async def test_a_field_that_the_contract_does_not_know_is_ignored(bus: ServiceBus) -> None:
    assert await bus.call(CHANNEL, {"type": "reserve", "order_id": "o-1", "lines": [], "more": 1}) == {
        "order_id": "o-1",
        "units": 1,
    }


async def test_a_request_that_fails_its_own_check_is_invalid_and_not_run(bus: ServiceBus) -> None:
    for body in ({"n": -1}, {"n": 0}):
        error = await error_of(bus, {"type": "checked", **body})
        assert isinstance(error, InvalidRequest)
        assert error.executed == "no"
    assert await bus.call(CHANNEL, Checked(n=2)) == 50


# Failed in the handler.


async def test_an_exception_is_internal_and_its_text_stays_at_the_worker(
    bus: ServiceBus, caplog: pytest.LogCaptureFixture
) -> None:
    error = await error_of(bus, {"type": "raise"})
    assert isinstance(error, RemoteError)
    assert (error.code, error.executed) == ("internal", "yes")
    assert "secret" not in str(error)
    assert "ValueError" not in str(error)
    assert "secret" in caplog.text


async def test_a_declared_error_from_a_thread_crosses_with_its_attributes(bus: ServiceBus) -> None:
    error = await error_of(bus, {"type": "raise_in_thread"})
    assert isinstance(error, Closed)
    assert (error.until, error.executed) == ("noon", "yes")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "unencodable"}, "reply_not_encodable"),
        ({"type": "unencodable_details"}, "reply_not_encodable"),
        ({"type": "large", "size": 70_000}, "reply_too_large"),
        ({"type": "nested"}, "internal"),
        ({"type": "borrow"}, "internal"),
    ],
)
async def test_a_reply_that_cannot_be_given_still_says_that_the_handler_ran(
    bus: ServiceBus, message: dict[str, Any], code: str
) -> None:
    error = await error_of(bus, message)
    assert isinstance(error, RemoteError)
    assert (error.code, error.executed, error.retryable) == (code, "yes", False)


async def test_a_reply_that_is_too_large_says_how_large(bus: ServiceBus) -> None:
    error = await error_of(bus, {"type": "large", "size": 65_536})
    assert isinstance(error, RemoteError)
    assert error.details["limit"] == 65_536
    assert 65_536 < error.details["size"] < 65_700
    assert await bus.call(CHANNEL, {"type": "large", "size": 65_000}) == "x" * 65_000


async def test_a_larger_reply_is_let_through_by_those_who_agree_to_it(url: str) -> None:
    async with ServiceBus(url, max_message_size=1_000_000) as bus, bus.serving(service):
        assert len(await bus.call(CHANNEL, {"type": "large", "size": 900_000})) == 900_000


async def test_a_handler_that_returns_another_type_than_it_declares_is_at_fault(url: str) -> None:
    service = Service("shop")

    @service.handler
    async def reserve(request: Reserve) -> Reserved:
        return Line("A", 1)  # type: ignore[return-value]

    async with calling(url, service) as bus:
        error = await error_of(bus, Reserve(order_id="o-1", lines=[]))
    assert isinstance(error, RemoteError)
    assert (error.code, error.executed) == ("internal", "yes")


async def test_a_reply_of_another_type_than_declared_is_never_taken_for_it(bus: ServiceBus) -> None:
    assert await bus.call(CHANNEL, Count(upto=3)) == 3
    error = await error_of(bus, Count(upto=0))
    assert isinstance(error, RemoteError)
    assert (error.code, error.executed) == ("reply_invalid", "yes")


async def test_a_handler_whose_own_work_was_cancelled_has_failed(bus: ServiceBus) -> None:
    error = await error_of(bus, {"type": "cancelled"})
    assert isinstance(error, RemoteError)
    assert (error.code, error.executed) == ("internal", "yes")


async def test_handled_failed_and_refused_messages_are_counted(url: str) -> None:
    async with ServiceBus(url) as bus, bus.serving(service):
        await bus.call(CHANNEL, Count(upto=1))
        for message in ({"type": "raise"}, {"type": "raise_in_thread"}, {"type": "nothing"}, {"type": "reserve"}):
            await error_of(bus, message)
        assert (bus.counters.handled, bus.counters.failed, bus.counters.calls) == (3, 2, 5)


async def test_a_one_way_message_that_fails_is_logged_and_nobody_is_answered(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with ServiceBus(url) as bus, bus.serving(service):
        await bus.send(CHANNEL, {"type": "raise"})
        await bus.send(CHANNEL, {"type": "raise_in_thread"})
        await eventually(lambda: bus.counters.failed == 2)
    errors = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(errors) == 2
    assert bus.counters.lost_replies == 0


# How handlers run.


async def test_no_more_handlers_run_at_once_than_there_is_credit(url: str) -> None:
    running, most = 0, 0
    service = Service("shop")

    @service.handler
    async def count(request: Count) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(MS)
        running -= 1
        return request.upto

    async with calling(url, service, concurrency=7) as bus:
        assert await bus.gather(*((CHANNEL, Count(upto=n)) for n in range(200))) == list(range(200))
    assert most == 7


async def test_a_slow_handler_does_not_hold_up_the_others(url: str) -> None:
    service = Service("shop")
    release = asyncio.Event()

    @service.handler
    async def count(request: Count) -> int:
        if request.upto == 0:
            await release.wait()
        return request.upto

    async with calling(url, service) as bus:
        slow = asyncio.create_task(bus.call(CHANNEL, Count(upto=0)))
        assert await bus.gather(*((CHANNEL, Count(upto=n)) for n in range(1, 50))) == list(range(1, 50))
        release.set()
        assert await slow == 0


async def test_plain_handlers_run_in_threads_side_by_side(url: str) -> None:
    barrier = threading.Barrier(3, timeout=5)
    service = Service("shop")

    @service.handler("meet")
    def meet(message: dict[str, Any]) -> bool:
        barrier.wait()
        return threading.current_thread() is not threading.main_thread()

    async with calling(url, service) as bus:
        assert await bus.gather(*[(CHANNEL, {"type": "meet"})] * 3) == [True] * 3


async def test_each_plain_handler_runs_inside_its_context_manager_in_its_thread(url: str) -> None:
    notes: list[tuple[str, str]] = []

    @contextlib.contextmanager
    def around() -> Iterator[None]:
        notes.append(("enter", threading.current_thread().name))
        try:
            yield
        finally:
            notes.append(("exit", threading.current_thread().name))

    service = Service("shop", around_sync=around)

    @service.handler("plain")
    def plain(message: dict[str, Any]) -> None:
        notes.append(("handler", threading.current_thread().name))
        raise Closed(until="noon")

    @service.handler("coroutine")
    async def coroutine(message: dict[str, Any]) -> None:
        pass

    async with calling(url, service) as bus:
        await bus.call(CHANNEL, {"type": "coroutine"})
        assert notes == []
        await error_of(bus, {"type": "plain"})
    assert [note for note, _ in notes] == ["enter", "handler", "exit"]
    assert len({thread for _, thread in notes}) == 1


# Whatever is pushed at it.


async def test_a_worker_survives_any_bytes_and_counts_what_it_dropped(url: str) -> None:
    layers = Layers(url)
    layer = await layers.open()
    whole = encode_frame(0, 2**63, "", {"type": "count", "body": {"upto": 1}}, 65_536)
    frames = [bytes([*whole[:at], random.randrange(256), *whole[at + 1 :]]) for at in range(len(whole))] * 10
    frames += [whole[:at] for at in range(len(whole))] + [random.randbytes(random.randrange(60)) for _ in range(1000)]
    async with ServiceBus(url) as bus, bus.serving(service):
        deliveries = [Delivery(layer, CHANNEL, 0) for _ in frames]
        for delivery, frame in zip(deliveries, frames, strict=True):
            delivery.frame = frame
            layer.push(delivery)
        assert await outcomes(deliveries) == {None: len(frames)}
        assert await bus.call(CHANNEL, Count(upto=3)) == 3
        counted = bus.counters
        assert counted.rejected_frames > 1000
        assert counted.rejected_frames + counted.handled + counted.expired_messages <= len(frames) + 1
    await layers.close()
