"""The record of one row of the fault plan: its history, which several processes may write, and its figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from servicebus.testing import checker
from servicebus.testing.history import Event, Recorder, read

from ..history import LATE_START
from ..timing import allowed

Figures = Callable[[int, str], None]
"""Takes the number of a row and a text with what was measured; the text is printed at the end of the run."""
JOINED = 39
"""The number of the row that checks the histories of all other rows together."""
SUFFIX = ".json-seq"
"""What the name of each file with a history ends with."""


class Record:
    """The history of one test.

    Args:
        path: the file of the history.
        row: begins the ID of each event, so that the histories of all rows can be joined.

    Attributes:
        path: the file; other processes of the test write into it too.
        recorder: writes the events of this process.
    """

    def __init__(self, path: Path, row: str) -> None:
        self._row = row
        self.path = path
        self.recorder = Recorder(path)

    def id(self, number: int) -> str:
        """Return the ID of the call or message with this number."""
        return f"{self._row}-{number}"

    def events(self) -> list[Event]:
        """Return the events of all processes so far, in the order in which they happened."""
        return read(self.path)

    def count(self, kind: str) -> int:
        """Return how many events of a kind there are so far."""
        return sum(event.kind == kind for event in self.events())

    def problems(self, *, grace: float = checker.OUTCOME_GRACE) -> list[str]:
        """Return the promises of the bus that the history breaks. The lag of a busy machine is added to the bounds."""
        return checker.problems(self.events(), grace=allowed(grace), late_start=allowed(LATE_START))
