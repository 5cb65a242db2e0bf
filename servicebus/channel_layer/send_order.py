"""The order of sends that wait for a connection: sends of one loop to one channel leave in the order they were made."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Hashable, Iterator


class Place:
    """A place in a line of sends. Used in the thread of its event loop only.

    Attributes:
        left: the send has ended, however it ended.
    """

    __slots__ = ("_line", "_woken", "left")

    def __init__(self, line: deque[Place]) -> None:
        self._line = line
        # Completed when this place has become the first one; None while its send does not wait for that.
        self._woken: asyncio.Future[None] | None = None
        self.left = False

    async def first(self) -> None:
        """Return when every place before this one has been left.

        Cancelling is safe: the place is left when its ``with`` block ends.
        """
        if self._line[0] is not self:
            self._woken = asyncio.get_running_loop().create_future()
            await self._woken

    def wake(self) -> None:
        """End the wait in ``first``."""
        if self._woken is not None and not self._woken.done():
            with contextlib.suppress(RuntimeError):  # the loop is closed, and the send with it
                self._woken.set_result(None)


class SendOrder:
    """The lines, by key. All places in one line belong to one event loop."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, deque[Place]] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __contains__(self, key: Hashable) -> bool:
        """Whether a send waits under ``key``, so that the next send must not overtake it."""
        return key in self._lines

    @contextlib.contextmanager
    def place(self, key: Hashable) -> Iterator[Place]:
        """Take a place at the end of the line, until the block ends.

        What the owner of the place does between the end of the block and its next ``await`` comes before what the owner
        of the next place does.
        """
        line = self._lines.setdefault(key, deque())
        place = Place(line)
        line.append(place)
        try:
            yield place
        finally:
            place.left = True
            while line and line[0].left:
                line.popleft()
            if line:
                line[0].wake()
            else:
                self._lines.pop(key, None)
