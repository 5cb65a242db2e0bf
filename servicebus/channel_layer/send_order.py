"""Who waited first goes first: sends of one loop to one channel, while its server is being connected."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Hashable, Iterator


class Turn:
    """A place in a line. In the thread of its loop only."""

    __slots__ = ("_line", "_woken", "over")

    def __init__(self, line: deque[Turn]) -> None:
        self._line = line
        self._woken: asyncio.Future[None] | None = None
        self.over = False

    async def comes(self) -> None:
        """Return when all who came before have gone. Cancelling is safe."""
        if self._line[0] is not self:
            self._woken = asyncio.get_running_loop().create_future()
            await self._woken

    def wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            with contextlib.suppress(RuntimeError):  # the loop is closed, and whoever waited is gone
                self._woken.set_result(None)


class Turns:
    """The lines, by key. All in one line are of one loop."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, deque[Turn]] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __contains__(self, key: Hashable) -> bool:
        """Whether somebody waits whom the next one may not overtake."""
        return key in self._lines

    @contextlib.contextmanager
    def one(self, key: Hashable) -> Iterator[Turn]:
        """A place at the end of the line, until the block ends.

        What its owner does between that and its next ``await`` comes before what the next in line does.
        """
        line = self._lines.setdefault(key, deque())
        turn = Turn(line)
        line.append(turn)
        try:
            yield turn
        finally:
            turn.over = True
            while line and line[0].over:
                line.popleft()
            if line:
                line[0].wake()
            else:
                self._lines.pop(key, None)
