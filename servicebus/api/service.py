"""A service: its name, its handlers, its events, and how each of them reads its message."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints, overload

import msgspec

from ..contract.names import (
    checked_channel,
    checked_service,
    events_channel,
    request_channel,
)
from ..contract.request import Request, operation_of, reply_type
from ..errors import ConfigurationError
from ..protocol.codel import Shedding
from ..protocol.concurrency_limit import Adaptive
from .context import Context
from .middleware import ServiceMiddleware, checked

if TYPE_CHECKING:
    from ..bus import ServiceBus

Function = TypeVar("Function", bound=Callable[..., Any])
Policy = TypeVar("Policy", Shedding, Adaptive)
Background = Callable[["ServiceBus"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Handler:
    """One operation or event: the function, and what its annotations say.

    Attributes:
        name: the ``type`` of the messages it serves.
        decode: body bytes to the argument; raises msgspec.DecodeError.
        reply: the class its result must be an instance of, None to let anything pass.
        wants_context: whether the function takes the Context as its second argument.
        in_thread: whether it is a plain ``def``, which runs in a thread.
    """

    name: str
    function: Callable[..., Any]
    decode: Callable[[Any], Any]
    reply: type | None
    wants_context: bool
    in_thread: bool


class Service:
    """What serves ``<name>.request``. Declaring one does nothing; ``bus.serving`` or a worker runs it.

    Args:
        name: letters, digits, ``-`` and ``_``.
        version: of the contract, for people and tools.
        middleware: wraps every handler, the first outermost.
        around_sync: makes the context manager that each plain ``def`` handler runs in, in its thread.
        shedding: refuse what has waited too long while the queue is standing. None, the default: whatever is in time
            for its deadline is served, because a burst alone is no overload.
        adaptive: let each worker find how many messages it had best hold at once, up to its concurrency. None, the
            default: it holds as many as its concurrency says.

    Raises ConfigurationError, which names the argument.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "0.0.0",
        middleware: Sequence[ServiceMiddleware] = (),
        around_sync: Callable[[], AbstractContextManager[Any]] = nullcontext,
        shedding: Shedding | None = None,
        adaptive: Adaptive | None = None,
    ) -> None:
        self.name = checked_service(name)
        self.version = version
        self.middleware: tuple[ServiceMiddleware, ...] = checked(middleware)
        self.around_sync = around_sync
        self.shedding = _checked_policy("shedding", shedding, Shedding)
        self.adaptive = _checked_policy("adaptive", adaptive, Adaptive)
        self.operations: dict[str, Handler] = {}
        self.events: dict[str, Handler] = {}
        self.background: list[tuple[float, Background]] = []

    @property
    def request_channel(self) -> str:
        return request_channel(self.name)

    @property
    def events_channel(self) -> str:
        return events_channel(self.name)

    @overload
    def handler(self, function: Function, /) -> Function: ...

    @overload
    def handler(self, name: str, /) -> Callable[[Function], Function]: ...

    def handler(self, target: Any, /) -> Any:
        """Serve an operation: ``@service.handler`` for a typed request, ``@service.handler("name")`` for any message.

        A typed handler's first parameter is annotated with a Request; the operation is its tag. An untyped one gets and
        returns plain msgpack values. An optional second parameter gets the Context. A plain ``def`` runs in a thread.
        The function is returned unchanged. Raises ConfigurationError for a second handler of the same operation.
        """
        if target == "" or not (isinstance(target, str) or inspect.isroutine(target)):
            raise ConfigurationError(f"@service.handler takes a function or the name of an operation, not {target!r}")
        if isinstance(target, str):
            return lambda function: self._add(self.operations, target, function)
        return self._add(self.operations, None, target)

    def on(self, event: str) -> Callable[[Function], Function]:
        """Subscribe to an event. Each subscribing service gets one copy, which one of its workers handles."""
        name = checked_channel(event)
        return lambda function: self._add(self.events, name, function)

    def every(self, seconds: float) -> Callable[[Background], Background]:
        """Run ``async def task(bus)`` in every serving process, ``seconds`` after each run ended. Errors are logged."""
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
            raise ConfigurationError(f"@service.every takes seconds, more than 0, not {seconds!r}")

        def register(task: Background) -> Background:
            self.background.append((seconds, task))
            return task

        return register

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """Serve one of its channels as an ASGI application; see ``servicebus.contrib.asgi``. Cancelling drains it."""
        # What serves a service stands above it, so that it is looked up when it is needed.
        asgi = import_module("servicebus.contrib.asgi")
        await asgi.serve(self, scope, receive)

    def _add(self, table: dict[str, Handler], name: str | None, function: Function) -> Function:
        handler = make_handler(name, function)
        if handler.name in table:
            raise ConfigurationError(f"service {self.name!r} has two handlers for {handler.name!r}")
        table[handler.name] = handler
        return function


def _checked_policy(field: str, value: Policy | None, kind: type[Policy]) -> Policy | None:
    if value is None or isinstance(value, kind):
        return value
    raise ConfigurationError(f"{field} is {value!r}: give {field}={kind.__name__}(), or None for none")


def make_handler(name: str | None, function: Callable[..., Any]) -> Handler:
    """Read a function's annotations. Raises ConfigurationError when they say too little or contradict the contract."""
    hints = _hints(function)
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    positional = all(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters)
    if not 1 <= len(parameters) <= 2 or not positional:
        raise ConfigurationError(f"{_name(function)} must take the message, and the context if it wants it")
    if len(parameters) == 2 and hints.get(parameters[1].name, Context) not in (Context, Any):
        raise ConfigurationError(
            f"{_name(function)}: the second parameter gets the Context; annotate it so, or not at all"
        )
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigurationError(f"{_name(function)} is a generator; a handler returns its reply")
    argument = hints.get(parameters[0].name, Any)
    typed = isinstance(argument, type) and issubclass(argument, Request)
    reply = _checked_reply(function, reply_type(argument), hints) if typed else None
    return Handler(
        name=name or (operation_of(argument) if typed else function.__name__),
        function=function,
        decode=msgspec.msgpack.Decoder(Any if argument is dict else argument).decode,
        reply=reply if isinstance(reply, type) and issubclass(reply, msgspec.Struct) else None,
        wants_context=len(parameters) == 2,
        in_thread=not inspect.iscoroutinefunction(function),
    )


def _checked_reply(function: Callable[..., Any], declared: Any, hints: dict[str, Any]) -> Any:
    returned = hints.get("return", declared)
    if returned not in (declared, Any):
        raise ConfigurationError(f"{_name(function)} returns {returned!r}, but its request declares {declared!r}")
    return declared


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except NameError as error:
        raise ConfigurationError(f"{_name(function)}: {error}; annotations must name module-level types") from error


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
