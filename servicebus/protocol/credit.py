"""Credit: how many messages a worker may still take. It is taken before a message is received."""

from __future__ import annotations

from collections.abc import Callable


class Credit:
    """``limit`` messages at most are held at once; ``on_release`` is called whenever room is made.

    Not thread-safe: it belongs to one event loop.
    """

    __slots__ = ("held", "limit", "on_release")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self.on_release: Callable[[], None] = _nobody

    @property
    def available(self) -> int:
        return self.limit - self.held

    def take(self, count: int) -> None:
        """Count ``count`` messages as held. The receiver never asks for more than ``available``."""
        assert 0 <= count <= self.limit - self.held, (count, self.held, self.limit)
        self.held += count

    def release(self, count: int = 1) -> None:
        """``count`` messages have been dealt with."""
        self.held -= count
        assert self.held >= 0
        self.on_release()


def _nobody() -> None:
    """Until a receiver is interested."""
