"""What a worker says of a reply that it cannot send."""

from __future__ import annotations

from typing import Any, cast

import pytest

from servicebus import (
    Context,
    InvalidRequest,
    Overloaded,
    RemoteError,
    Service,
    ServiceBus,
    ServiceBusError,
    Unauthorized,
    UnknownOperation,
    context,
)

from ...support.collisions import colliding_tuples
from ...support.shop import CHANNEL, calling


async def test_the_log_names_the_operation_call_and_type_of_a_bad_reply(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service("shop")

    @service.handler("thing")
    async def thing(message: dict[str, Any]) -> object:
        return object()

    async with ServiceBus(url) as bus, bus.serving(service):
        with context(correlation_id="c-1"), pytest.raises(RemoteError, match="reply_not_encodable"):
            await bus.call("shop.request", {"type": "thing"})
    (record,) = [one for one in caplog.records if one.name == "servicebus.serving.replies"]
    assert record.getMessage() == "the reply of 'thing' cannot be encoded (correlation ID 'c-1')"
    assert "objects of type 'object' are nothing that msgpack knows" in caplog.text


class Refusing:
    """Middleware that refuses every message with the error that a test sets."""

    def __init__(self) -> None:
        self.error: ServiceBusError = Overloaded("shop", "busy")
        self.started = 0
        self.service = Service("shop", middleware=[self.refuse])
        self.service.handler("work")(self.work)

    async def refuse(self, request: Any, context: Context, call_next: Any) -> Any:
        raise self.error

    async def work(self, message: Any) -> None:
        self.started += 1


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest(cast("Any", ValueError("x" * 200_000))),
        InvalidRequest("bad", "$." + "x" * 200_000),
        Overloaded("shop", "x" * 200_000),
        Overloaded("shop", "\ud800"),
        Unauthorized("work", cast("Any", None)),
        Unauthorized("work", cast("Any", {"why": object()})),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_refusal_stays_one_whatever_its_size_and_its_parts(fresh_hub: str, error: ServiceBusError) -> None:
    refusing = Refusing()
    refusing.error = error
    async with calling(fresh_hub, refusing.service) as bus:
        with pytest.raises(type(error)) as caught:
            await bus.call(CHANNEL, {"type": "work"})
    assert isinstance(caught.value, ServiceBusError)
    assert (caught.value.executed, refusing.started) == ("no", 0)


async def test_an_operation_with_a_name_of_any_length_is_unknown(fresh_hub: str) -> None:
    async with calling(fresh_hub, Refusing().service) as bus:
        with pytest.raises(UnknownOperation):
            await bus.call(CHANNEL, {"type": "x" * 32_000})


async def test_a_reply_over_the_callers_own_limit_is_not_read(url: str) -> None:
    service = Service("shop")

    @service.handler("large")
    async def large(message: dict[str, Any]) -> str:
        return "x" * 100_000

    async with ServiceBus(url, max_message_size=1 << 20) as worker, worker.serving(service), ServiceBus(url) as caller:
        with pytest.raises(RemoteError) as failure:
            await caller.call("shop.request", {"type": "large"})
    assert (failure.value.code, failure.value.executed) == ("reply_too_large", "yes")
    assert failure.value.details["limit"] == caller.config.max_message_size < failure.value.details["size"]


async def test_plain_values_with_keys_that_collide_are_refused_on_both_sides(url: str) -> None:
    service = Service("shop")
    costly = dict.fromkeys(colliding_tuples(1000), 0)

    @service.handler("reply")
    async def reply(message: dict[str, Any]) -> Any:
        return costly

    @service.handler("request")
    async def request(message: Any) -> None: ...

    @service.handler("fail")
    async def fail(message: dict[str, Any]) -> None:
        raise RemoteError("failed", "with details", costly)

    async with ServiceBus(url) as bus, bus.serving(service):
        with pytest.raises(RemoteError, match="no str") as failure:
            await bus.call("shop.request", {"type": "reply"})
        assert (failure.value.code, failure.value.executed) == ("reply_invalid", "yes")
        with pytest.raises(InvalidRequest, match="no str"):
            await bus.call("shop.request", {"type": "request", "fields": costly})
        with pytest.raises(RemoteError) as failure:
            await bus.call("shop.request", {"type": "fail"})
        assert (failure.value.code, failure.value.details) == ("failed", None)
