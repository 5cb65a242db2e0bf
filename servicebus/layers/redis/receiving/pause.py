"""The pause of a reader after a refusal: the reader asks for nothing until the pause ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Pause:
    """At most one pause at a time.

    Args:
        on_end: called when a pause has run out.
    """

    __slots__ = ("_on_end", "_timer")

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """Whether a pause is under way."""
        return self._timer is not None

    def begin(self, seconds: float) -> None:
        """Pause, unless a pause is under way."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._end)

    def cancel(self) -> None:
        """End the pause without a call of ``on_end``. Idempotent."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _end(self) -> None:
        self._timer = None
        self._on_end()
