"""A coroutine that a thread has an event loop run, and may give up: it is cancelled then, or never begins."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

from ..errors import SendUnknown

Result = TypeVar("Result")


class LoopWork(Generic[Result]):
    """One coroutine for the event loop of a bus, in the context of the thread that makes this. Thread-safe.

    Args:
        loop: runs the work, if it runs.
        work: what to run.
        name: the channel or event that it concerns, for the text of errors.

    Attributes:
        outcome: the result or the error, once there is one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Result], name: str) -> None:
        self.outcome: Future[Result] = Future()
        self._loop = loop
        self._work = work
        self._name = name
        self._context = contextvars.copy_context()
        # Held while it is decided whether the work begins.
        self._lock = threading.Lock()
        self._is_given_up = False
        self._task: asyncio.Task[Result] | None = None

    def start(self) -> None:
        """Have the loop begin with the work.

        Raises:
            RuntimeError: the loop is closed. The work was not begun.
        """
        try:
            self._loop.call_soon_threadsafe(self._begin)
        except RuntimeError:
            self._work.close()
            raise

    def give_up(self) -> bool:
        """Cancel the work, or keep it from beginning.

        Returns:
            Whether it had begun. If not, it certainly never will.
        """
        with self._lock:
            self._is_given_up = True
            task = self._task
        if task is None:
            self._work.close()
            return False
        with suppress(RuntimeError):  # the loop was closed, and its tasks with it
            self._loop.call_soon_threadsafe(task.cancel)
        return True

    def _begin(self) -> None:
        with self._lock:
            if not self._is_given_up:
                self._task = self._loop.create_task(self._work, context=self._context)
                self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Result]) -> None:
        if task.cancelled():  # before it began, or later: the loop ends, or the thread has given up
            self.outcome.set_exception(SendUnknown(self._name, "the event loop of the bus was closed"))
        elif error := task.exception():
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())
