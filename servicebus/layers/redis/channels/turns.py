"""Who waited first goes first: sends of one loop to one channel, while its server is being connected."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

T = TypeVar("T")


class Turns:
    """Those who wait, by key. All that share a key are of one loop."""

    def __init__(self) -> None:
        self._last: dict[Hashable, asyncio.Future[None]] = {}

    def __bool__(self) -> bool:
        return bool(self._last)

    def __contains__(self, key: Hashable) -> bool:
        """Whether somebody waits whom the next one may not overtake."""
        return key in self._last

    async def after_others(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """What ``work()`` gives, once all who came before have theirs, or have gone.

        What the caller does with it before its next ``await`` comes before what the next one does. Cancelling is safe.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        before, self._last[key] = self._last.get(key), turn
        try:
            result = await work()
            if before is not None and not before.done():
                await asyncio.shield(before)
            return result
        finally:
            if before is None or before.done():
                self._end(key, turn)
            else:  # whoever comes next still waits for those before this one
                before.add_done_callback(lambda _: self._end(key, turn))

    def _end(self, key: Hashable, turn: asyncio.Future[None]) -> None:
        if self._last.get(key) is turn:
            del self._last[key]
        turn.set_result(None)
