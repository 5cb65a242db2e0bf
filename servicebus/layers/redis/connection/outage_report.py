"""What is logged of the trouble with one server: outages, and what it refuses again and again. No clock and no log."""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable
from typing import NamedTuple

from ....errors import Unavailable
from ....foundation.repeat_filter import RepeatFilter

FIRST_REPEAT = 5.0
"""Seconds between the first two reports why an outage lasts, doubled for each further one: a restart takes less."""
MAX_REPEAT = 60.0
"""Seconds between two such reports, at most: who begins to read a log finds the cause in its last minute."""
QUIET = 1.0
"""Seconds after the report of a loss in which further ones are only counted, and after an outage in which the next one
continues it: a connection may be lost again and again."""
REFUSAL_INTERVAL = 60.0
"""Seconds in which one refusal is logged once: what it is an answer to is repeated all the time."""
MAX_REFUSALS = 100
"""Texts of refusals that are remembered: a few for each channel that a process reads."""


class Line(NamedTuple):
    """A line for the log: its level, as in ``logging``, and its text."""

    level: int
    text: str


class OutageReport:
    """Reports each outage of one server once, however many connections of this process it ends, and each refusal.

    Instants are seconds on a monotonic clock. An outage lasts as long as one connection is missing.
    """

    def __init__(self) -> None:
        # Who waits for a connection.
        self._missing: set[Hashable] = set()
        self._began = 0.0
        self._ended = -math.inf
        self._quiet_until = -math.inf
        # Losses since the last report of one.
        self._unreported = 0
        # Whether anything of this outage was reported.
        self._reported = False
        # When the next report why the outage lasts is due, and the pause after that.
        self._due = 0.0
        self._pause = FIRST_REPEAT
        # The cause is one that waiting does not cure, and it was reported.
        self._final = False
        self._refusals: RepeatFilter[str] = RepeatFilter(REFUSAL_INTERVAL, MAX_REFUSALS)

    def lost(self, who: Hashable, where: object, now: float) -> Line | None:
        """A connection was lost. Returns what to log, None for nothing new; so do the other methods."""
        if not self._begins(who, now):
            return None
        if now < self._quiet_until:
            self._unreported += 1
            return None
        more = f" (and {self._unreported} times since the last report)" if self._unreported else ""
        self._quiet_until, self._unreported, self._reported = now + QUIET, 0, True
        return Line(logging.WARNING, f"connection to {where} lost{more}, reconnecting")

    def failed(self, who: Hashable, error: Unavailable, now: float) -> Line | None:
        """An attempt to connect failed. An error that waiting does not cure is reported at once."""
        self._begins(who, now)
        is_final = not error.retryable
        if now < self._due and not (is_final and not self._final):
            return None
        self._due, self._pause = now + self._pause, min(2 * self._pause, MAX_REPEAT)
        self._final, self._reported = self._final or is_final, True
        lasts = f"not connected for {now - self._began:.1f} s: {error}"
        if is_final:
            return Line(logging.ERROR, f"{lasts}. Waiting does not cure this: somebody has to set it right")
        return Line(logging.WARNING, f"{lasts}. Trying again")

    def connected(self, who: Hashable, where: object, now: float) -> Line | None:
        """There is a connection."""
        if who not in self._missing or not self.forget(who, now):
            return None
        return Line(logging.WARNING, f"connected to {where} again after {now - self._began:.1f} s")

    def forget(self, who: Hashable, now: float) -> bool:
        """That connection is not wanted any more. Returns whether this ends an outage that was reported."""
        if who not in self._missing:
            return False
        self._missing.discard(who)
        self._ended = now
        return not self._missing and self._reported

    def refused(self, text: str, now: float) -> Line | None:
        """The server is there, and refused what is repeated."""
        return Line(logging.WARNING, text) if self._refusals.lets_through(text, now) else None

    def _begins(self, who: Hashable, now: float) -> bool:
        """Note a missing connection. Returns whether an outage begins."""
        begins = not self._missing
        self._missing.add(who)
        if begins:
            self._began, self._reported = now, False
            # An outage right after another one is the same to who reads the log: its pauses go on.
            if now > self._ended + QUIET:
                self._due, self._pause, self._final = now, FIRST_REPEAT, False
        return begins


def log_line(logger: logging.Logger, line: Line | None) -> None:
    """Log a line if there is one."""
    if line is not None:
        logger.log(line.level, "%s", line.text)
