"""What is called for each operation: the handler inside its middleware; a plain ``def`` runs in a thread."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, NamedTuple

from ..api.context import Context
from ..api.handler import Handler
from ..api.middleware import Endpoint, around_handler
from ..api.service import Service
from ..protocol.credit import Credit, ThreadCredit
from .threads import THREADS, HandlerThreads


def credit_for(handlers: Mapping[str, Handler], concurrency: int) -> Credit:
    """The credit of a channel: what its handlers can run at once. What it cannot run is for other workers."""
    in_thread = [handler.in_thread for handler in handlers.values()]
    if not any(in_thread):
        return Credit(concurrency)
    return ThreadCredit(concurrency, THREADS, mixed=not all(in_thread))


class ExpiredInQueue(Exception):
    """The deadline passed while the message waited for a thread, so the handler did not start."""


class Route(NamedTuple):
    """One handler inside its middleware.

    Attributes:
        handler: what the service declared.
        decode: body bytes to the request.
        endpoint: the handler inside its middleware.
        reply_class: the class that its result must be an instance of.
        tracks_start: the endpoint marks the moment when the handler itself starts, because middleware or the queue for
            threads may refuse before that.
    """

    handler: Handler
    decode: Callable[[Any], Any]
    endpoint: Endpoint
    reply_class: type
    tracks_start: bool


class Endpoints:
    """The routes of one service's operations or events, and the threads that its plain handlers run in."""

    def __init__(
        self, service: Service, handlers: Mapping[str, Handler], now_ms: Callable[[], int], credit: Credit
    ) -> None:
        self._credit = credit
        self._now_ms = now_ms
        self._threads = HandlerThreads(f"{service.name}-handler")
        self.routes = {name: self._route(service, handler) for name, handler in handlers.items()}

    def close(self) -> None:
        """Start no more handlers in threads. One that runs cannot be ended."""
        self._threads.close()

    def _route(self, service: Service, handler: Handler) -> Route:
        innermost = self._endpoint(handler, service, tracks_start=bool(service.middleware))
        endpoint = around_handler(service.middleware, innermost)
        if isinstance(self._credit, ThreadCredit) and not handler.in_thread:
            endpoint = _without_thread(endpoint, self._credit)
        tracks_start = bool(service.middleware) or handler.in_thread
        return Route(handler, handler.decode, endpoint, handler.reply_class or object, tracks_start)

    def _endpoint(self, handler: Handler, service: Service, *, tracks_start: bool) -> Endpoint:
        function: Endpoint = handler.function
        if handler.in_thread:
            return self._thread_endpoint(handler, service.around_sync)
        if not handler.wants_context:
            function = lambda request, _: handler.function(request)  # noqa: E731
        if service.around_async is not None:
            function = _inside(service.around_async, function)
        if not tracks_start:
            return function

        async def call(request: Any, context: Context) -> Any:
            # What middleware raises before this moment refuses the message; the handler was not executed.
            context._progress.started = True
            return await function(request, context)

        return call

    def _thread_endpoint(self, handler: Handler, around_sync: Any) -> Endpoint:
        function = handler.function

        def call(request: Any, context: Context) -> Any:
            if context.abandoned or (context.deadline_ms and self._now_ms() >= context.deadline_ms):
                raise ExpiredInQueue
            context._progress.started = True
            manager: AbstractContextManager[Any] = around_sync()
            with manager:
                result = function(request, context) if handler.wants_context else function(request)
            if inspect.iscoroutine(result):
                result.close()
                raise TypeError(f"{handler.name} is declared with def, but returns a coroutine: was it wrapped?")
            return result

        async def endpoint(request: Any, context: Context) -> Any:
            return await self._threads.run(call, request, context, context._progress)

        return endpoint


def _inside(around: Callable[[], AbstractAsyncContextManager[Any]], inner: Endpoint) -> Endpoint:
    async def endpoint(request: Any, context: Context) -> Any:
        async with around():
            return await inner(request, context)

    return endpoint


def _without_thread(inner: Endpoint, credit: ThreadCredit) -> Endpoint:
    async def endpoint(request: Any, context: Context) -> Any:
        credit.leave_thread()
        try:
            return await inner(request, context)
        finally:
            credit.claim_thread()

    return endpoint
