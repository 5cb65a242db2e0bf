"""Log lines that other programs can cause without end: a few a second of each kind, with a count of the others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Any

EVERY = 1.0
"""Seconds in which ``AT_ONCE`` lines of one kind are logged: enough to see what goes on, and too few to fill a disk."""
AT_ONCE = 5
"""Lines of one kind that are logged one by one: a few events are told in full."""
_CALLERS = 4
"""Frames between the caller of ``warning`` and the logger, so that a record names the caller's line."""


class _Kind:
    """What is known of the lines with one text. ``held`` were not logged, after ``shown`` that were until ``due``."""

    __slots__ = ("due", "held", "last", "level", "shown")

    def __init__(self) -> None:
        self.due, self.held, self.shown = 0.0, 0, 0
        self.level, self.last = logging.WARNING, ()


class RepeatedLog:
    """Logs ``AT_ONCE`` lines of a kind a second, and then one with the number of the others. Any thread may use it.

    A line is of the kind of its text before the arguments are put in, so there are few kinds. Lines that are held back
    are counted, and the next line that is logged has their number.

    Args:
        logger: where the lines go.
        every: seconds in which ``AT_ONCE`` lines of one kind are logged.
        clock: seconds on a clock that is never set.
    """

    def __init__(
        self, logger: logging.Logger, every: float = EVERY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._every = every
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy counts from nothing: a channel layer may be copied, and a lock cannot."""
        return type(self), (self._logger, self._every, self._clock)

    def warning(self, text: str, *args: Any) -> None:
        """Log a warning, or count it."""
        self._take(logging.WARNING, text, args)

    def info(self, text: str, *args: Any) -> None:
        """Log a line of normal operation, or count it."""
        self._take(logging.INFO, text, args)

    def error(self, text: str, *args: Any) -> None:
        """Log an error, or count it."""
        self._take(logging.ERROR, text, args)

    def _take(self, level: int, text: str, args: tuple[Any, ...]) -> None:
        with self._lock:
            kind = self._kinds.setdefault(text, _Kind())
            now = self._clock()
            if now < kind.due and kind.shown < AT_ONCE:
                kind.shown += 1
                held = 0
            elif now < kind.due:
                kind.held += 1
                kind.level, kind.last = level, args
                if kind.held == 1:
                    self._plan(text, kind.due - now)
                return
            else:
                kind.due, held = now + self._every, kind.held
                kind.held, kind.shown = 0, 1
        self._write(level, text, args, held)

    def _plan(self, text: str, delay: float) -> None:
        """Log what is held back once the second is over, where a loop can do that; else the next line does."""
        with suppress(RuntimeError):
            asyncio.get_running_loop().call_later(delay, self._release, text)

    def _release(self, text: str) -> None:
        with self._lock:
            kind = self._kinds[text]
            held, args, level = kind.held, kind.last, kind.level
            if not held:
                return
            kind.due, kind.held, kind.shown, kind.last = self._clock() + self._every, 0, 1, ()
        self._write(level, text, args, held - 1)

    def _write(self, level: int, text: str, args: tuple[Any, ...], others: int) -> None:
        if others:
            text, args = text + " (and %d more like it)", (*args, others)
        self._logger.log(level, text, *args, stacklevel=_CALLERS)
