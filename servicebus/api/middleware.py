"""Cross-cutting concerns as wrapping: one callable type on the caller's side, one on the service's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import ConfigurationError
from ..foundation.coroutines import is_async
from .context import Context


@dataclass(frozen=True, slots=True)
class Invocation:
    """What is about to leave. ``timeout`` is in seconds: that of the call, or of the bus when it names none."""

    kind: Literal["call", "send", "publish"]
    channel: str
    message: Any
    timeout: float


CallNext = Callable[[Invocation], Coroutine[Any, Any, Any]]
BusMiddleware = Callable[[Invocation, CallNext], Coroutine[Any, Any, Any]]
"""``async def log(invocation, call_next)``, given to ``ServiceBus(middleware=[log])``. The first is outermost."""

Endpoint = Callable[[Any, Context], Awaitable[Any]]
ServiceMiddleware = Callable[[Any, Context, Endpoint], Awaitable[Any]]
"""``async def log(request, context, call_next)``, given to ``Service(middleware=[log])``. The first is outermost."""


def checked(middleware: Iterable[Any]) -> tuple[Any, ...]:
    """``middleware`` as a tuple, when all of it is asynchronous.

    Raises:
        ConfigurationError: it names the item that cannot be called, or whose call cannot be awaited.
    """
    found = tuple(middleware)
    for number, wrap in enumerate(found):
        if isinstance(wrap, type):
            raise ConfigurationError(f"middleware[{number}] is the class {wrap.__name__}: give {wrap.__name__}()")
        if not callable(wrap):
            raise ConfigurationError(f"middleware[{number}] is {wrap!r}, which cannot be called")
        if not is_async(wrap):
            raise ConfigurationError(f"middleware[{number}] is {wrap!r}: make it an `async def`, its result is awaited")
    return found


def around_bus(middleware: Iterable[BusMiddleware], innermost: CallNext) -> CallNext:
    """``innermost`` inside every middleware, the first outermost."""
    for wrap in reversed(list(middleware)):
        innermost = _wrapped_bus(wrap, innermost)
    return innermost


def around_handler(middleware: Iterable[ServiceMiddleware], innermost: Endpoint) -> Endpoint:
    """``innermost`` inside every middleware, the first outermost."""
    for wrap in reversed(list(middleware)):
        innermost = _wrapped_handler(wrap, innermost)
    return innermost


def _wrapped_bus(wrap: BusMiddleware, inner: CallNext) -> CallNext:
    return lambda invocation: wrap(invocation, inner)


def _wrapped_handler(wrap: ServiceMiddleware, inner: Endpoint) -> Endpoint:
    return lambda request, context: wrap(request, context, inner)
