"""How the public names look to a type checker. Nobody runs this file: mypy reads it, in ``make check`` and in a test.

``assert_type`` fails when a type is not exactly the one that is named; an ignored error that does not occur is an
error itself, because ``--strict`` warns of ignores that are not needed.
"""

from __future__ import annotations

from typing import Any, assert_type

import msgspec

from servicebus import (
    Bus,
    Context,
    DeadlineExceeded,
    RemoteError,
    Request,
    Service,
    ServiceBus,
    ServiceBusError,
    ServiceError,
    context,
)


class Reserved(msgspec.Struct):
    units: int


class Reserve(Request[Reserved], tag="reserve"):
    order_id: str
    count: int = 1


class Names(Request[list[str]]):
    pass


class OutOfStock(ServiceError, code="typing_out_of_stock"):
    sku: str
    available: int
    note: str = ""


service = Service("typed", version="1.0.0")


@service.handler
async def reserve(request: Reserve, context: Context) -> Reserved:
    assert_type(context.remaining(), float | None)
    assert_type(context.flag("new"), bool)
    assert_type(context.correlation_id, str)
    assert_type(context.bus, Bus)
    return Reserved(request.count)


@service.handler("names")
def names(message: dict[str, Any]) -> list[str]:
    return sorted(message)


@service.on("orders.placed")
async def on_placed(event: Reserved) -> None: ...


@service.every(1.0)
async def tick(bus: ServiceBus) -> None: ...


async def decorators_keep_signatures() -> None:
    assert_type(await reserve(request=Reserve(order_id="o-1"), context=Context()), Reserved)
    assert_type(names(message={"a": 1}), list[str])
    await on_placed(event=Reserved(1))
    await reserve(Reserve(order_id="o-1"))  # type: ignore[call-arg]
    names(1)  # type: ignore[arg-type]
    service.handler(1)  # type: ignore[call-overload]


async def calls_return_what_their_requests_declare(bus: ServiceBus) -> None:
    assert_type(await bus.call("typed.request", Reserve(order_id="o-1")), Reserved)
    assert_type(await bus.call("typed.request", Names(), timeout=1.0), list[str])
    assert_type(await bus.call("typed.request", {"type": "names"}), Any)
    assert_type(await bus.gather(("typed.request", Names()), ("typed.request", {"type": "x"})), list[Any])
    await bus.call("typed.request", Reserved(1))  # type: ignore[call-overload]
    await bus.call("typed.request", Names(), timeout="1")  # type: ignore[call-overload]
    await bus.call(1, Names())  # type: ignore[call-overload]
    await bus.send("typed.request", "names")  # type: ignore[arg-type]


def synchronous_calls_do_too(bus: ServiceBus) -> None:
    assert_type(bus.sync.call("typed.request", Reserve(order_id="o-1")), Reserved)
    assert_type(bus.sync.call("typed.request", {"type": "names"}), Any)
    bus.sync.call("typed.request", Reserved(1))  # type: ignore[call-overload]


async def a_bus_is_what_its_block_gets() -> None:
    async with ServiceBus("memory://", service="typed") as bus:
        assert_type(bus, ServiceBus)
        assert_type(await bus.workers("typed.request"), int)
        assert_type(bus.pending, int)
        async with bus.serving(service):
            pass
    ServiceBus("memory://", capacity="many")  # type: ignore[arg-type]


def requests_are_frozen_and_checked(request: Reserve) -> None:
    assert_type(request.order_id, str)
    request.count = 2  # type: ignore[misc]
    Reserve()  # type: ignore[call-arg]
    Reserve(order_id=1)  # type: ignore[arg-type]
    Reserve(order_id="o-1", colour="red")  # type: ignore[call-arg]


def declared_errors_take_their_fields_as_keywords(error: OutOfStock) -> None:
    assert_type(OutOfStock(sku="A", available=3), OutOfStock)
    assert_type(error.sku, str)
    assert_type(error.available, int)
    assert_type(error.code, str)
    OutOfStock(sku="A")  # type: ignore[call-arg]
    OutOfStock(sku="A", available="3")  # type: ignore[arg-type]
    OutOfStock(sku="A", available=3, colour="red")  # type: ignore[call-arg]
    OutOfStock("A", 3)  # type: ignore[call-arg]


def errors_say_what_they_are(error: ServiceBusError, deadline: DeadlineExceeded, remote: RemoteError) -> None:
    assert_type(error.retryable, bool)
    assert error.executed != "perhaps"  # type: ignore[comparison-overlap]
    assert deadline.stage != "done"  # type: ignore[comparison-overlap]
    assert_type(remote.details, Any)


def a_context_takes_plain_values() -> None:
    with context(correlation_id="abc", flags={"new": True}, headers={"tenant": "t1"}) as inner:
        assert_type(inner, Context)
    with context(flags={"new": "yes"}):  # type: ignore[dict-item]
        pass
    with context(headers={"tenant": 1}):  # type: ignore[dict-item]
        pass
