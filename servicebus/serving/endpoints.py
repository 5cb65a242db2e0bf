"""What is called for each operation: the handler inside its middleware, and a plain ``def`` in a thread."""

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
from ..api.middleware import Endpoint, around_handler
from ..api.service import Handler, Service

THREADS = min(32, (os.cpu_count() or 1) + 4)
"""What a plain handler runs in, for each of a service's channels."""


class NotStarted(Exception):
    """The deadline passed while the message waited for a thread."""


class Route(NamedTuple):
    """One handler inside its middleware. ``marks`` says that the endpoint itself marks the context as started."""

    handler: Handler
    decode: Callable[[Any], Any]
    endpoint: Endpoint
    reply: type
    marks: bool


class Endpoints:
    """The routes of one service's operations or events, and the threads that its plain handlers run in."""

    def __init__(self, service: Service, handlers: Mapping[str, Handler], now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"{service.name}-handler")
        # Nothing queues in the pool: what waits for a thread can be cancelled, and then leaves nothing behind.
        self._idle_threads = asyncio.Semaphore(THREADS)
        self.routes = {name: self._route(service, handler) for name, handler in handlers.items()}

    def close(self) -> None:
        """Start nothing any more. A thread that runs cannot be ended."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _thread_is_idle(self, job: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed, and nobody waits for a thread any more
            self._loop.call_soon_threadsafe(self._idle_threads.release)

    def _route(self, service: Service, handler: Handler) -> Route:
        innermost = self._endpoint(handler, service.around_sync, marks=bool(service.middleware))
        endpoint = around_handler(service.middleware, innermost)
        marks = bool(service.middleware) or handler.in_thread
        return Route(handler, handler.decode, endpoint, handler.reply or object, marks)

    def _endpoint(self, handler: Handler, around_sync: Any, *, marks: bool) -> Endpoint:
        function: Endpoint = handler.function
        if handler.in_thread:
            return self._thread_endpoint(handler, around_sync)
        if not handler.wants_context:
            function = lambda request, _: handler.function(request)  # noqa: E731
        if not marks:
            return function

        async def call(request: Any, context: Context) -> Any:
            # A context that was never started is how _failed knows that middleware refused before the handler.
            context.started = True
            return await function(request, context)

        return call

    def _thread_endpoint(self, handler: Handler, around_sync: Any) -> Endpoint:
        function = handler.function

        def call(request: Any, context: Context) -> Any:
            if context.deadline_ms and self._now_ms() >= context.deadline_ms:
                raise NotStarted
            context.started = True
            manager: AbstractContextManager[Any] = around_sync()
            try:
                with manager:
                    result = function(request, context) if handler.wants_context else function(request)
            except SystemExit as error:
                raise RuntimeError(f"{handler.name} called sys.exit({error.code!r})") from error
            if inspect.iscoroutine(result):
                result.close()
                raise TypeError(f"{handler.name} is declared with def, but returns a coroutine: was it wrapped?")
            return result

        async def endpoint(request: Any, context: Context) -> Any:
            await self._idle_threads.acquire()
            job = self._threads.submit(contextvars.copy_context().run, call, request, context)
            job.add_done_callback(self._thread_is_idle)
            try:
                return await asyncio.wrap_future(job)
            except asyncio.CancelledError:
                # The thread goes on, but neither starts the handler nor makes calls for a caller that is gone.
                context.deadline_ms = 1
                raise

        return endpoint
