"""Sets right what the server lists of a group, at most once at a time for each group. I/O thread only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from .channel_reader import Spawn
from .control_sender import log_failure


class GroupRepairs:
    """Runs one piece of work for a group at a time. It runs once more when it is asked for meanwhile.

    What asks for it are frames from other processes, and thousands of them may name one group: they cost one command.

    Args:
        work: what is done for a group. Its errors are logged.
        spawn: starts tasks that nothing waits for.
        limit: groups at once. For more nothing is done: the next frame asks again.
    """

    def __init__(self, work: Callable[[str], Awaitable[None]], spawn: Spawn, limit: int) -> None:
        self._work = work
        self._spawn = spawn
        self._limit = limit
        # Group to whether the work was asked for again since it last began.
        self._running: dict[str, bool] = {}

    def ask(self, group: str) -> None:
        """Do the work for ``group``, in the background."""
        if group in self._running:
            self._running[group] = True
        elif len(self._running) < self._limit:
            self._running[group] = True
            self._spawn(self._run(group))

    async def _run(self, group: str) -> None:
        try:
            while self._running[group]:
                self._running[group] = False
                await log_failure(partial(self._work, group))
        finally:
            del self._running[group]
