"""Scripts that a server has lost, by SCRIPT FLUSH for example: the one way in which they are loaded again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis

from ..connection.connection import Connection, pack
from ..schema.scripts import ALL

OnLoaded = Callable[[Exception | None], None]
"""Takes None, or why the scripts could not be loaded."""


def is_missing(reply: Any) -> bool:
    """Whether an answer says that the server does not have the script. The script did not run."""
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT")


class ScriptReload:
    """Loads all scripts when a command finds one missing. Commands that find more meanwhile wait for the same load.

    While it loads, the pipeline sends nothing: a script that is loaded by then must not run before an older one of the
    same channel, which waits here.
    """

    __slots__ = ("_error", "_on_done", "_waiting")

    def __init__(self, on_done: Callable[[], None]) -> None:
        # Called after each load, so that what was held up meanwhile is sent.
        self._on_done = on_done
        self._waiting: list[OnLoaded] = []
        self._error: Exception | None = None

    @property
    def is_loading(self) -> bool:
        """Whether a load is under way."""
        return bool(self._waiting)

    def load(self, connection: Connection, on_loaded: OnLoaded) -> None:
        """Load the scripts, behind everything that was written; then call ``on_loaded``, in the order of the calls."""
        self._waiting.append(on_loaded)
        if len(self._waiting) == 1:
            self._error = None
            for script in ALL:
                answer = self._last_answered if script is ALL[-1] else self._answered
                connection.write(pack((b"SCRIPT", b"LOAD", script.source)), answer)

    def _answered(self, reply: Any) -> None:
        if isinstance(reply, Exception):
            self._error = reply

    def _last_answered(self, reply: Any) -> None:
        self._answered(reply)
        waiting, self._waiting = self._waiting, []
        for on_loaded in waiting:
            on_loaded(self._error)
        self._on_done()
