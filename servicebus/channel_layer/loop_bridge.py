"""Callbacks from one thread to the event loop of another: one wake-up for all that were posted since the last."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any


class Handoff:
    """The way to one loop, which it does not keep alive.

    ``sending`` counts the messages that this loop has sent and that have not been settled: for its own thread.
    """

    __slots__ = ("_posted", "_woken", "loop", "sending")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        self._posted: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._woken = False
        self.sending = 0

    def post(self, callback: Callable[[Any], None], argument: Any) -> bool:
        """Call ``callback(argument)`` on the loop, soon. False when the loop is closed: it will not be called."""
        loop = self.loop()
        if loop is None or loop.is_closed():
            return False
        # Append, then look at the flag; the other side clears the flag, then looks at the queue. Nothing falls between.
        self._posted.append((callback, argument))
        if not self._woken:
            self._woken = True
            try:
                loop.call_soon_threadsafe(self._run)
            except RuntimeError:
                return False
        return True

    @property
    def quiet(self) -> bool:
        """Whether everything that was posted has been called. From any thread."""
        return not self._posted

    def _run(self) -> None:
        self._woken = False
        posted = self._posted
        while posted:
            callback, argument = posted[0]
            try:
                callback(argument)
            finally:
                posted.popleft()


class _Here(threading.local):
    handoff: Handoff | None = None


_here = _Here()


def to_running_loop() -> Handoff:
    """The way back to the loop that runs in this thread."""
    loop = asyncio.get_running_loop()
    handoff = _here.handoff
    if handoff is None or handoff.loop() is not loop:
        handoff = _here.handoff = Handoff(loop)
    return handoff
