"""The rows of the fault plan: what each one showed, and the histories that they leave.

``@pytest.mark.row(n)`` says which row a test keeps. Its figures are printed at the end of the run, and its history is a
sequence of JSON texts (RFC 7464) in the directory that ``SERVICEBUS_HISTORIES`` names, a temporary one by default.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest

from servicebus.testing import checker
from servicebus.testing.history import Event, Recorder, read

from ...support.faults.sizes import SOAK
from ...support.history import LATE_START
from ...support.timing import allowed

Figures = Callable[[int, str], None]
JOINED = 39
SUFFIX = ".json-seq"
FIGURE = "figure"


class Record:
    """The history of one row. IDs begin with the row, so that those of all rows may be joined.

    Attributes:
        path: the file, which the processes of the row may write too.
        recorder: notes what this process does.
    """

    def __init__(self, path: Path, row: str) -> None:
        self.path, self._row = path, row
        self.recorder = Recorder(path)

    def id(self, number: int) -> str:
        return f"{self._row}-{number}"

    def events(self) -> list[Event]:
        return read(self.path)

    def count(self, kind: str) -> int:
        return sum(event.kind == kind for event in self.events())

    def problems(self, *, grace: float = checker.GRACE) -> list[str]:
        """What was broken of the promises of the bus. Busy machines are allowed for, as everywhere."""
        return checker.problems(self.events(), grace=allowed(grace), late_start=allowed(LATE_START))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long rows wait for a long run, and the row that joins all histories for the others."""
    if not SOAK:
        long = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]
    items.sort(key=lambda item: JOINED in rows_of(item))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # They come with the reports of the tests, whichever process ran them.
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    found = [value for report in reports for name, value in report.user_properties if name == FIGURE]
    if found:
        terminalreporter.section("the fault plan: figures of this run")
    for row, text in sorted(found, key=lambda figure: figure[0]):
        terminalreporter.write_line(f"{row or '-':>3}  {text}")


def rows_of(item: pytest.Item) -> list[int]:
    return [row for marker in item.iter_markers("row") for row in marker.args]


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """``figures(row, text)`` notes what a row showed."""
    return lambda row, text: request.node.user_properties.append((FIGURE, (row, text)))


@pytest.fixture(scope="session")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the histories of all rows are."""
    named = os.environ.get("SERVICEBUS_HISTORIES", "")
    path = Path(named).resolve() if named else tmp_path_factory.mktemp("histories")
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture
def record(request: pytest.FixtureRequest, histories: Path) -> Iterator[Record]:
    """The history of this test."""
    name = "-".join(["row", *map(str, rows_of(request.node)), f"{crc32(request.node.name.encode()):08x}"])
    path = histories / f"{name}{SUFFIX}"
    path.unlink(missing_ok=True)
    kept = Record(path, name)
    yield kept
    kept.recorder.close()
