"""The threads that plain ``def`` handlers run in."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from ..api.context import Context, Progress

THREADS = min(32, (os.cpu_count() or 1) + 4)
"""Threads for plain ``def`` handlers, for each of a service's channels: what asyncio's own executor would have."""


class Ended(NamedTuple):
    """How a call in a thread ended: what it returned, or what it raised."""

    result: Any
    error: BaseException | None = None


class HandlerThreads:
    """Runs calls in threads, for one event loop.

    Args:
        name: what the names of the threads begin with.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=name)
        # A call waits here for an idle thread and not in the pool, so that it can be cancelled while it waits.
        self._idle = asyncio.Semaphore(THREADS)

    def close(self) -> None:
        """Start no more calls. One that runs cannot be ended."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run(self, call: Callable[[Any, Context], Any], request: Any, context: Context, progress: Progress) -> Any:
        """Run ``call`` in a thread, and return or raise what it does.

        Cancelling is safe: a call that has not started never will. One that runs goes on in its thread, and
        ``progress`` then says that it is abandoned: what it calls is refused.
        """
        await self._idle.acquire()
        try:
            job = self._pool.submit(contextvars.copy_context().run, _caught, call, request, context)
        except BaseException:
            self._idle.release()
            raise
        job.add_done_callback(self._thread_is_idle)
        try:
            ended = await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            progress.abandoned = True
            if not job.cancelled():
                progress.started = True  # it runs, or has run, and may not have come to mark that yet
            raise
        if ended.error is not None:
            raise ended.error
        return ended.result

    def _thread_is_idle(self, job: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed
            self._loop.call_soon_threadsafe(self._idle.release)


def _caught(call: Callable[[Any, Context], Any], request: Any, context: Context) -> Ended:
    # What was raised comes back as a value: a future takes no StopIteration, and whatever waited for it would wait for
    # ever.
    try:
        return Ended(call(request, context))
    except BaseException as error:  # noqa: BLE001
        return Ended(None, error)
