"""The one I/O thread of a process, and work for that thread from any other.

Channels gives one layer object to all threads and event loops of a process, and loops come and go: every
``async_to_sync`` is one. Connections and readers must outlive those loops, so they have a loop and a thread of their
own.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from ..errors import Unavailable
from ..foundation import forks
from ..foundation.event_loop import loop_factory
from ..foundation.tasks import TaskSet
from .loop_bridge import LoopBridge, to_running_loop

T = TypeVar("T")

CLOSE_WITHIN = 1.0
"""Seconds that the layers may take to disconnect when the interpreter ends: nobody wants to wait longer for an exit."""


class IOThread:
    """A thread with an event loop. ``IOThread.current()`` is the one of this process.

    Attributes:
        closers: what is called and awaited when the interpreter ends.
    """

    def __init__(self) -> None:
        self._loop = (loop_factory() or asyncio.new_event_loop)()
        self._bridge = LoopBridge(self._loop)
        self._tasks = TaskSet()
        self.closers: set[Callable[[], Awaitable[None]]] = set()
        self._thread = threading.Thread(target=self._run, name="servicebus-io", daemon=True)
        self._thread.start()

    @staticmethod
    def current() -> IOThread:
        """The I/O thread of this process. The first call starts it."""
        return _process.io_thread or _process.start()

    def post(self, callback: Callable[[Any], None], argument: Any) -> bool:
        """Call ``callback(argument)`` in the I/O thread, in the order of posting. The callback must not raise.

        Returns:
            False when the thread has ended because the interpreter does, so that the callback will not be called.
        """
        return self._bridge.post(callback, argument)

    @property
    def quiet(self) -> bool:
        """Whether everything that was posted has been called. From any thread."""
        return self._bridge.quiet

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await ``work()`` in the I/O thread. From any event loop.

        Cancelling is safe: the work goes on to its end in the I/O thread.

        Raises:
            Unavailable: the I/O thread has ended. Whatever ``work`` raises is raised too.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        bridge = to_running_loop()

        def done(task: asyncio.Task[T]) -> None:
            if not bridge.post(partial(_copy, future), task):
                _mark_retrieved(task)  # the loop that waited for the task is closed

        def start(_: None) -> None:
            self.spawn(_awaited(work)).add_done_callback(done)

        if not self.post(start, None):
            raise ended()
        return await future

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run ``work`` as a task, kept until it ends. In the I/O thread only."""
        return self._tasks.spawn(work)

    def end(self) -> None:
        """Call all closers, then stop the loop and close it. Takes about a second at most."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop_soon)
            self._thread.join(timeout=2 * CLOSE_WITHIN)

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
            async with asyncio.timeout(CLOSE_WITHIN):
                closing = [close() for close in list(self.closers)]
                await asyncio.gather(*closing, self._tasks.join(), return_exceptions=True)


def ended() -> Unavailable:
    """The error of what comes after the I/O thread has ended."""
    return Unavailable("the interpreter ends", retryable=False)


class ProcessTable:
    """What this process has of which there is one only. Its one instance is ``_process``.

    Nothing is registered with the interpreter before the first I/O thread starts, and nothing twice: a child process
    inherits what its parent has registered.

    Attributes:
        io_thread: the I/O thread, once something has used it.
        inherited: what a fork has copied into this process although its sockets and its thread are the parent's. It is
            kept for ever, because collecting it would close descriptors that the parent uses.
    """

    def __init__(self) -> None:
        self.io_thread: IOThread | None = None
        self.inherited: list[object] = []
        # Guards the start of the I/O thread.
        self._lock = threading.Lock()
        self._registered = False

    def start(self) -> IOThread:
        """The I/O thread. It is started if there is none."""
        with self._lock:
            if not self._registered:
                self._registered = True
                atexit.register(self.end)
                forks.run_in_child(self, ProcessTable.leave_parent)
            if self.io_thread is None:
                self.io_thread = IOThread()
            return self.io_thread

    def end(self) -> None:
        """End the I/O thread, because the interpreter ends."""
        if self.io_thread is not None:
            self.io_thread.end()

    def leave_parent(self) -> None:
        """In the child of a fork: the I/O thread did not survive the fork, and its loop stays as the parent left it."""
        self._lock = threading.Lock()
        if self.io_thread is not None:
            self.inherited.append(self.io_thread)
            self.io_thread = None


_process = ProcessTable()
"""The table of this process."""


def keep_inherited(copied: object) -> None:
    """In the child of a fork: never collect ``copied``, whose sockets are the parent's."""
    _process.inherited.append(copied)


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


def _mark_retrieved(task: asyncio.Task[Any]) -> None:
    """Mark the error of a task as seen: no caller waits for the task any more, and asyncio would log the error."""
    if not task.cancelled():
        task.exception()


def _copy(future: asyncio.Future[T], done: asyncio.Task[T]) -> None:
    if future.done():
        _mark_retrieved(done)
    elif done.cancelled():
        future.cancel()
    elif error := done.exception():
        future.set_exception(error)
    else:
        future.set_result(done.result())
