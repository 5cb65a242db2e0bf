"""What is called for each operation: the handler inside its middleware; a plain ``def`` runs in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from ..api.context import Context
from ..api.handler import Handler
from ..api.middleware import Endpoint, around_handler
from ..api.service import Service

THREADS = min(32, (os.cpu_count() or 1) + 4)
"""Threads for plain ``def`` handlers, for each of a service's channels: what asyncio's own executor would have."""


class ExpiredInQueue(Exception):
    """The deadline passed while the message waited for a thread, so the handler did not start."""


class Ended(NamedTuple):
    """How a call in a thread ended: what it returned, or what it raised."""

    result: Any
    error: BaseException | None = None


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

    def __init__(self, service: Service, handlers: Mapping[str, Handler], now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"{service.name}-handler")
        # A handler waits here for an idle thread and not in the pool, so that it can be cancelled while it waits.
        self._idle_threads = asyncio.Semaphore(THREADS)
        self.routes = {name: self._route(service, handler) for name, handler in handlers.items()}

    def close(self) -> None:
        """Start no more handlers in threads. One that runs cannot be ended."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _thread_is_idle(self, job: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed
            self._loop.call_soon_threadsafe(self._idle_threads.release)

    def _route(self, service: Service, handler: Handler) -> Route:
        innermost = self._endpoint(handler, service.around_sync, tracks_start=bool(service.middleware))
        endpoint = around_handler(service.middleware, innermost)
        tracks_start = bool(service.middleware) or handler.in_thread
        return Route(handler, handler.decode, endpoint, handler.reply_class or object, tracks_start)

    def _endpoint(self, handler: Handler, around_sync: Any, *, tracks_start: bool) -> Endpoint:
        function: Endpoint = handler.function
        if handler.in_thread:
            return self._thread_endpoint(handler, around_sync)
        if not handler.wants_context:
            function = lambda request, _: handler.function(request)  # noqa: E731
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

        def caught(request: Any, context: Context) -> Ended:
            # What was raised comes back as a value: a future takes no StopIteration, and whatever waited for it would
            # wait for ever.
            try:
                return Ended(call(request, context))
            except BaseException as error:  # noqa: BLE001
                return Ended(None, error)

        async def endpoint(request: Any, context: Context) -> Any:
            await self._idle_threads.acquire()
            job = self._threads.submit(contextvars.copy_context().run, caught, request, context)
            job.add_done_callback(self._thread_is_idle)
            try:
                ended = await asyncio.wrap_future(job)
            except asyncio.CancelledError:
                # The thread cannot be stopped, but it starts nothing and calls nobody for a caller that is gone.
                context._progress.abandoned = True
                raise
            if ended.error is not None:
                raise ended.error
            return ended.result

        return endpoint
