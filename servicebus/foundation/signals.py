"""Signals that a program handles in its event loop, and that its forked children must not share with it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable

ENDING = (signal.SIGTERM, signal.SIGINT)
"""The signals by which a program is asked to end."""


class ForkGuard:
    """Resets signals in each child that is forked. It registers with the interpreter once: there is no way to end that.

    A child that is forked, by ``multiprocessing`` for example, inherits the handlers of its parent, and the descriptor
    by which they wake the event loop: a signal to the child would arrive in the parent. A signal may come before the
    child has run a line of Python. So signals wait from before the fork until the child has reset its handlers.
    """

    def __init__(self) -> None:
        self._registered = False
        # The signals that the forking thread had blocked before: each thread may fork.
        self._blocked = threading.local()

    def register(self) -> None:
        """Guard every fork from now on. Idempotent."""
        if not self._registered:
            self._registered = True
            os.register_at_fork(before=self._hold, after_in_parent=self._release, after_in_child=self._reset)

    def _hold(self) -> None:
        self._blocked.before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)

    def _release(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked.before)

    def _reset(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._release()


_guard = ForkGuard()
"""The one of this process."""


def handle_ending_signals(loop: asyncio.AbstractEventLoop, on_signal: Callable[[int], object]) -> None:
    """Call ``on_signal`` on an event loop with the number of each signal that asks this process to end.

    In forked children these signals do what they do in any Python program.
    """
    _guard.register()
    for number in ENDING:
        loop.add_signal_handler(number, on_signal, number)
