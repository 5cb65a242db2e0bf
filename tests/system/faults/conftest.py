"""The rows of the fault plan: their figures and their histories.

``@pytest.mark.row(n)`` names the row that a test checks. The figures of the test are printed at the end of the run. Its
history is a file of JSON texts (RFC 7464) in the directory that ``SERVICEBUS_HISTORIES`` names; by default in a
temporary directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from ...support.faults.record import JOINED, SUFFIX, Figures, Record
from ...support.faults.sizes import SOAK

FIGURE = "figure"
"""The name under which the figures of a test travel in the user properties of its report."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the long rows unless this is a long run, and run the row that joins all histories last."""
    if not SOAK:
        long = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]
    items.sort(key=lambda item: JOINED in rows_of(item))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # Figures travel in the reports of the tests, because the tests may run in several processes.
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
    """``figures(row, text)`` prints what a row measured at the end of the run."""
    return lambda row, text: request.node.user_properties.append((FIGURE, (row, text)))


@pytest.fixture(scope="session")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the histories of all rows."""
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
