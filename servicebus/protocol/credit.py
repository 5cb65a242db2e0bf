"""Credit: how many messages a worker may still take. It is taken before a message is received."""

from __future__ import annotations

from collections.abc import Callable


class Credit:
    """``limit`` messages are held at once; ``on_release`` is called whenever room is made.

    A receiver sets that, and takes it away while it waits for messages.

    The limit may be changed, up to ``most``, the one of the start. What had been asked for by then still comes, so that
    for a moment more messages than a lowered limit may be held. They are never more than ``most``.

    Not thread-safe: it belongs to one event loop.
    """

    __slots__ = ("held", "limit", "most", "on_release")

    def __init__(self, limit: int) -> None:
        self.limit = self.most = limit
        self.held = 0
        self.on_release: Callable[[], None] | None = None

    @property
    def available(self) -> int:
        left = self.limit - self.held
        return left if left > 0 else 0

    def change(self, limit: int) -> None:
        """Hold ``limit`` messages from now on, 1 or more and no more than ``most``."""
        assert 1 <= limit <= self.most, (limit, self.most)
        raised, self.limit = limit > self.limit, limit
        if raised and self.on_release is not None:
            self.on_release()

    def take(self, count: int) -> None:
        """Count ``count`` messages as held. The receiver never asks for more than ``available``."""
        assert 0 <= count <= self.most - self.held, (count, self.held, self.most)
        self.held += count

    def release(self, count: int = 1) -> None:
        """``count`` messages have been dealt with."""
        self.held -= count
        assert self.held >= 0
        if self.on_release is not None:
            self.on_release()
