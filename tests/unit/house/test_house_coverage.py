"""Each room has a floor of coverage, and a room below it is reported."""

from __future__ import annotations

from typing import Any

from ...support.house import coverage_floors
from ...support.house.coverage_floors import Covered
from ...support.house.source import sources


def measured(lines: int, of_lines: int, branches: int, of_branches: int) -> dict[str, Any]:
    """A file in the JSON report of coverage.py."""
    return {
        "summary": {
            "covered_lines": lines,
            "num_statements": of_lines,
            "covered_branches": branches,
            "num_branches": of_branches,
        }
    }


def test_each_room_has_a_floor_of_coverage() -> None:
    rooms = {coverage_floors.room_of(source.path) for source in sources("servicebus")}
    assert set(coverage_floors.floors()) == rooms


def test_lines_and_branches_of_a_room_are_added_up() -> None:
    files = {
        "servicebus/bus.py": measured(9, 10, 2, 2),
        "servicebus/layers/layer.py": measured(3, 4, 0, 0),
        "servicebus/layers/redis/layer.py": measured(5, 6, 1, 2),
    }
    assert coverage_floors.by_room(files) == {"top": Covered(11, 12), "layers": Covered(9, 12)}


def test_a_room_below_its_floor_and_one_without_are_reported() -> None:
    rooms = {"top": Covered(90, 100), "layers": Covered(79, 100), "attic": Covered(0, 0)}
    assert coverage_floors.too_low(rooms, {"top": 90, "layers": 80}) == [
        "attic: give it a floor in [tool.servicebus.coverage] of pyproject.toml (100.0 % ran)",
        "layers: 79.0 %, and 80 % is its floor: test what is new in it",
    ]
