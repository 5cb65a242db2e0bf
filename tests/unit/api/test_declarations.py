"""A declaration that cannot work is refused where it stands, in one line that names it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, Optional, TypeVar, Union

import msgspec
import pydantic
import pytest

from servicebus import ConfigurationError, Request, Service, ServiceBus
from servicebus.api.middleware import checked
from servicebus.contract.request import reply_decoder

from ...support.shop import Count, Reserve


class Model(pydantic.BaseModel):
    a: int = 0


class Plain:
    """No class that msgspec knows."""


class Holder(msgspec.Struct):
    inner: list[Plain] | None = None


class AsksPlain(Request[int]):
    models: list[Model]


class GivesPlain(Request[Model]):
    a: int = 0


T = TypeVar("T")
Bound = TypeVar("Bound", bound=Reserve)


class Either(Request[int], Generic[T]):
    value: T


async def served(message: Any) -> None: ...
async def of_model(message: Model) -> None: ...
async def of_models(message: dict[str, list[Model]]) -> None: ...
async def of_plain(message: Plain) -> None: ...
async def of_holder(message: Holder) -> None: ...
async def of_callable(message: Callable[[], None]) -> None: ...
async def of_typed_model(request: AsksPlain) -> int: ...  # type: ignore[empty-body]
async def giving_model(request: GivesPlain) -> Model: ...  # type: ignore[empty-body]
async def of_two(request: Reserve | Count) -> Any: ...
async def of_two_in_old_words(request: Union[Reserve, Count]) -> Any: ...  # noqa: UP007
async def of_one_or_none(request: Optional[Count]) -> int: ...  # type: ignore[empty-body] # noqa: UP045
async def of_any_of(request: Bound) -> Any: ...
async def of_a_generic(request: Either[int]) -> int: ...  # type: ignore[empty-body]
def awaited(message: Any) -> Awaitable[int]: ...  # type: ignore[empty-body]
def a_coroutine(message: Any) -> Coroutine[Any, Any, int]: ...  # type: ignore[empty-body]


class Object:
    async def __call__(self, message: Any) -> None: ...


@functools.wraps(served)
def plain_wrapper(*args: Any) -> Any:
    return served(*args)


HANDLERS = [
    of_model, of_models, of_plain, of_holder, of_callable, of_typed_model, giving_model, of_two, of_two_in_old_words,
    of_one_or_none, of_any_of, of_a_generic, awaited, a_coroutine, plain_wrapper, functools.partial(served), Object(),
    Object, print, max, 7, None,
]  # fmt: skip


def name_of(function: object) -> str:
    """The name of a test's case: the same in every process, which a ``repr`` is not."""
    return getattr(function, "__qualname__", type(function).__name__)


@pytest.mark.parametrize("function", HANDLERS, ids=name_of)
@pytest.mark.parametrize(
    "declare",
    [
        lambda service, function: service.handler(function),
        lambda service, function: service.handler("named")(function),
        lambda service, function: service.on("happened")(function),
    ],
    ids=["handler", "named", "event"],
)
def test_what_can_be_no_handler_is_refused(declare: Any, function: Any) -> None:
    service = Service("shop")
    with pytest.raises(ConfigurationError) as caught:
        declare(service, function)
    assert "\n" not in str(caught.value)
    assert not service.operations
    assert not service.events


@pytest.mark.parametrize("tag", [3, 0, -1, "", False, lambda name: 7, lambda name: ""])
def test_a_tag_that_names_no_operation_is_refused(tag: Any) -> None:
    with pytest.raises(ConfigurationError, match="Odd: the tag is the name of the operation, a str, not"):

        class Odd(Request[int], tag=tag):
            """Never made."""


class Wrapping:
    def __call__(self, *args: Any) -> Any: ...


async def asynchronous(*args: Any) -> Any: ...


class Policy:
    async def __call__(self, *args: Any) -> Any: ...


@pytest.mark.parametrize("wrap", [Wrapping(), Policy, lambda *args: None, print, 7, functools.partial(print)])
@pytest.mark.parametrize(
    "make", [checked, lambda wraps: ServiceBus(middleware=wraps), lambda wraps: Service("s", middleware=wraps)]
)
def test_middleware_that_is_not_asynchronous_is_refused(make: Any, wrap: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"middleware\[1\]") as caught:
        make([asynchronous, wrap])
    assert "\n" not in str(caught.value)
    checked([asynchronous, Policy(), functools.partial(asynchronous), Policy().__call__])


def test_a_reply_that_cannot_be_decoded_is_named_to_its_caller() -> None:
    with pytest.raises(ConfigurationError, match="Model is no msgspec"):
        reply_decoder(GivesPlain)


@pytest.mark.parametrize("body", [[1], 7, None, "text", b"bytes", 1.5, True])
async def test_a_handler_of_a_dict_gets_nothing_else(fresh_hub: str, body: Any) -> None:
    service, got, both = Service("shop"), list[Any](), asyncio.Event()

    @service.on("happened")
    async def happened(e: dict) -> None:  # type: ignore[type-arg]
        got.append(e)
        both.set()

    @service.on("typed")
    async def typed(e: dict[str, Any]) -> None:
        got.append(e)

    async with ServiceBus(fresh_hub) as bus, bus.serving(service):
        await bus.publish("happened", body)
        await bus.publish("typed", body)
        await bus.publish("happened", {"a": 1})
        async with asyncio.timeout(30):
            await both.wait()
        assert got == [{"a": 1}]
        assert bus.counters.unanswered_errors == 2
