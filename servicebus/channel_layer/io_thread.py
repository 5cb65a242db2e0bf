"""The one I/O thread of a process, and work for it from any other.

Channels gives one layer object to all threads and loops of a process, and loops come and go (every ``async_to_sync`` is
one). Connections and readers must not die with them, so they live on a loop of their own, in a thread of their own.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from ..errors import Unavailable
from ..foundation.event_loop import loop_factory
from .loop_bridge import Handoff, to_running_loop

T = TypeVar("T")

LAST_WORDS = 1.0


class Portal:
    """The I/O thread. Started by its first use; at the end of the interpreter it closes what ``closers`` holds."""

    def __init__(self) -> None:
        self._loop = (loop_factory() or asyncio.new_event_loop)()
        self._inward = Handoff(self._loop)
        self._tasks: set[asyncio.Task[Any]] = set()
        self.closers: set[Callable[[], Awaitable[None]]] = set()
        self._thread = threading.Thread(target=self._run, name="servicebus-io", daemon=True)
        self._thread.start()

    @staticmethod
    def current() -> Portal:
        """The portal of this process."""
        return _process.portal or _process.started()

    def post(self, callback: Callable[[Any], None], argument: Any) -> bool:
        """Call ``callback(argument)`` in the I/O thread, in the order of posting. It must not raise.

        False: that thread has ended, as the interpreter does, and it will not be called.
        """
        return self._inward.post(callback, argument)

    @property
    def quiet(self) -> bool:
        """Whether everything that was posted has been called. From any thread."""
        return self._inward.quiet

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await ``work()`` in the I/O thread. Raises Unavailable when that has ended, and as ``work`` does.

        Cancelling is safe: the work goes on to its end there.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        handoff = to_running_loop()

        def over(task: asyncio.Task[T]) -> None:
            if not handoff.post(partial(_copy, future), task):
                _retrieved(task)  # the loop that waited for it is closed

        def start(_: None) -> None:
            self.spawn(_awaited(work)).add_done_callback(over)

        if not self.post(start, None):
            raise ended()
        return await future

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run ``work`` as a task, kept until it is done. In the I/O thread only."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def end(self) -> None:
        """Close everything, and the loop; within about a second."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop_soon)
            self._thread.join(timeout=2 * LAST_WORDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _stop_soon(self) -> None:
        self._ending = self._loop.create_task(self._close_all())
        self._ending.add_done_callback(lambda _: self._loop.stop())

    async def _close_all(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                work = [*(close() for close in list(self.closers)), *self._tasks]
                await asyncio.gather(*work, return_exceptions=True)


def ended() -> Unavailable:
    """What comes too late: the interpreter ends, and the I/O thread is no more."""
    return Unavailable("the interpreter ends", retryable=False)


class _Process:
    """The portal that this process has, if it has one."""

    def __init__(self) -> None:
        self.portal: Portal | None = None
        self._lock = threading.Lock()
        self._parents: list[Portal] = []

    def started(self) -> Portal:
        with self._lock:
            if self.portal is None:
                self.portal = Portal()
            return self.portal

    def end(self) -> None:
        if self.portal is not None:
            self.portal.end()

    def forked(self) -> None:
        """A thread does not survive a fork. The parent's loop stays as it is: its descriptors are the parent's too."""
        self._lock = threading.Lock()
        if self.portal is not None:
            self._parents.append(self.portal)
            self.portal = None


_process = _Process()
atexit.register(_process.end)
os.register_at_fork(after_in_child=_process.forked)


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


def _retrieved(task: asyncio.Task[Any]) -> None:
    """Nobody waits for it any more: that it failed is nothing that the event loop need tell."""
    if not task.cancelled():
        task.exception()


def _copy(future: asyncio.Future[T], done: asyncio.Task[T]) -> None:
    if future.done():
        _retrieved(done)
    elif done.cancelled():
        future.cancel()
    elif error := done.exception():
        future.set_exception(error)
    else:
        future.set_result(done.result())
