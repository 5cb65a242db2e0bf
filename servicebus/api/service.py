"""A service: its name, its handlers for operations and events, and its background tasks."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Any, TypeVar, overload

from ..contract.names import checked_channel, checked_service, events_channel, request_channel
from ..errors import ConfigurationError
from ..foundation.coroutines import is_async
from ..protocol.codel import Shedding
from ..protocol.concurrency_limit import Adaptive
from .handler import Handler, make_handler
from .middleware import ServiceMiddleware, checked

Function = TypeVar("Function", bound=Callable[..., Any])
Policy = TypeVar("Policy", Shedding, Adaptive)
Background = Callable[[Any], Awaitable[None]]
"""``async def task(bus)``. It gets the bus that serves the service."""


class Service:
    """What serves ``<name>.request``. Declaring one does nothing; ``bus.serving`` or a worker runs it.

    Args:
        name: letters, digits, ``-`` and ``_``.
        version: of the contract, for people and tools.
        middleware: wraps every handler; the first is outermost.
        around_sync: makes the context manager that each plain ``def`` handler runs in, in its thread.
        around_async: makes the asynchronous context manager that each ``async def`` handler runs in. None for none.
        shedding: refuse messages that have waited too long while the queue is standing. None, the default: every
            message that is in time for its deadline is served, because a burst alone is not an overload.
        adaptive: let each worker find how many messages it should hold at once, up to its concurrency. None, the
            default: it holds as many as its concurrency allows.

    Raises:
        ConfigurationError: an argument is not what it should be; the text names it.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "0.0.0",
        middleware: Sequence[ServiceMiddleware] = (),
        around_sync: Callable[[], AbstractContextManager[Any]] = nullcontext,
        around_async: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
        shedding: Shedding | None = None,
        adaptive: Adaptive | None = None,
    ) -> None:
        self.name = checked_service(name)
        self.version = version
        self.middleware: tuple[ServiceMiddleware, ...] = checked(middleware)
        self.around_sync = around_sync
        self.around_async = around_async
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
        The function is returned unchanged.

        Raises:
            ConfigurationError: the operation has a handler already, or the function cannot be a handler.
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
        """Run ``async def task(bus)`` in every serving process, ``seconds`` after each run ended. Errors are logged.

        What one run raises is logged, whatever it is, and the task runs again. When the service stops, the task is
        cancelled and may take the seconds of the drain to clean up.

        Raises:
            ConfigurationError: ``seconds`` is not a number above 0, or the task is no ``async def``.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
            raise ConfigurationError(f"@service.every takes seconds, more than 0, not {seconds!r}")

        def register(task: Background) -> Background:
            if not is_async(task):
                raise ConfigurationError(f"@service.every takes an `async def` that takes the bus, not {task!r}")
            self.background.append((seconds, task))
            return task

        return register

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
