"""Ownership of tasks: a set that keeps its tasks until they end, and work that is done once for all callers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

CANCEL_WITHIN = 1.0
"""Seconds that a task may take to end after its last cancellation; then it is abandoned, so that what waits can end."""

logger = logging.getLogger(__name__)


def is_ended_by(error: BaseException) -> bool:
    """Whether an exception means that the running task itself is to end: it was cancelled, or its loop is gone."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return True
    return task is None or (isinstance(error, asyncio.CancelledError) and bool(task.cancelling()))


async def cancel_all(tasks: Iterable[asyncio.Task[Any]], within: float = CANCEL_WITHIN) -> set[asyncio.Task[Any]]:
    """Cancel tasks, and return those that have not ended ``within`` seconds: they ignore it, and are abandoned.

    For tasks that run what users wrote, which may swallow a cancellation. Cancelling is safe: the tasks are cancelled.
    """
    waiting = set(tasks)
    for task in waiting:
        task.cancel()
    return (await asyncio.wait(waiting, timeout=within))[1] if waiting else waiting


class TaskSet:
    """Tasks with one owner. A task leaves the set when it ends. The owner cancels or awaits the rest when it closes.

    An event loop keeps only weak references to its tasks, so a task without an owner may vanish while it waits.
    """

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """Run ``work`` as a task of the running event loop, and keep it until it ends."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def join(self) -> None:
        """Wait until every task has ended. Errors stay in the tasks. Cancelling is safe: it cancels the tasks too."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cancel(self) -> None:
        """Cancel every task and wait until all have ended. Cancelling is safe: the tasks are cancelled already."""
        for task in self._tasks:
            task.cancel()
        await self.join()

    async def end(self, within: float) -> None:
        """Cancel every task, and once more those that have not ended ``within`` seconds; abandon what ignores both.

        Cancelling is safe: the tasks are cancelled already.
        """
        late = await cancel_all(self._tasks, within)
        for task in await cancel_all(late):
            logger.error("%s ignores that it was cancelled, and is abandoned", task.get_name())


async def outcome_of(task: asyncio.Task[T], ended_by_other: Callable[[], Exception]) -> T:
    """Wait for a task that somebody else may cancel, such as a ``close`` in the middle of an ``open``.

    Args:
        task: what to wait for. Cancelling is safe: it cancels the task, and waits for the task's end.
        ended_by_other: makes the error to raise when another one has cancelled the task.
    """
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        raise
    if task.cancelled():
        raise ended_by_other()
    return task.result()


class Once(Generic[P, T]):
    """Work that is done at most once, however many callers ask for it.

    The first call starts the work as a task, with its arguments; every call waits for that one task. The work goes on
    when a caller is cancelled, so that a cancelled ``close`` leaves nothing half closed.
    """

    __slots__ = ("_work", "task")

    def __init__(self, work: Callable[P, Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self.task: asyncio.Task[T] | None = None

    def start(self, *args: P.args, **kwargs: P.kwargs) -> asyncio.Task[T]:
        """Start the work unless it was started before, and return its task."""
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._work(*args, **kwargs))
        return self.task

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Start the work unless it was started before, and wait for it.

        Cancelling is safe: the work goes on, and the next caller waits for it.
        """
        return await asyncio.shield(self.start(*args, **kwargs))
