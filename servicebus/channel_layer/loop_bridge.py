"""Callbacks from one thread to the event loop of another: one wake-up for all callbacks posted since the last one."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any


class LoopBridge:
    """The way to one event loop. It does not keep the loop alive.

    Attributes:
        loop: a weak reference to the loop.
        unsettled: how many messages this loop has sent that have not been settled yet. Only the thread of the loop
            changes it.
    """

    __slots__ = ("_posted", "_woken", "loop", "unsettled")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        # Callbacks and their arguments, oldest first. The one that runs stays here until it has returned.
        self._posted: deque[tuple[Callable[[Any], None], Any]] = deque()
        # The loop has been asked to call ``_run`` and has not begun to.
        self._woken = False
        self.unsettled = 0

    def post(self, callback: Callable[[Any], None], argument: Any) -> bool:
        """Call ``callback(argument)`` on the loop, soon. From any thread.

        Returns:
            False when the loop is closed, so that the callback will not be called.
        """
        loop = self.loop()
        if loop is None or loop.is_closed():
            return False
        # This side appends, then looks at the flag; the other side clears the flag, then looks at the queue. So no
        # callback is left behind without a wake-up.
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


class _ThreadState(threading.local):
    """The bridge to the event loop that ran last in a thread. One for each thread."""

    bridge: LoopBridge | None = None


_thread = _ThreadState()


def to_running_loop() -> LoopBridge:
    """The bridge to the event loop that runs in this thread. It is made once and kept while the loop runs here."""
    loop = asyncio.get_running_loop()
    bridge = _thread.bridge
    if bridge is None or bridge.loop() is not loop:
        bridge = _thread.bridge = LoopBridge(loop)
    return bridge
