"""Compare the measured coverage of each room with its floor: the check behind ``make coverage``."""

from __future__ import annotations

import json
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .source import ROOT


class Covered(NamedTuple):
    """Lines and branches of a room: those that ran, and all."""

    ran: int
    all: int

    @property
    def percent(self) -> float:
        return 100 * self.ran / self.all if self.all else 100.0


def floors() -> dict[str, int]:
    """Return the floor of each room, in percent, from pyproject.toml."""
    found: dict[str, int] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["servicebus"]["coverage"]
    return found


def room_of(path: str) -> str:
    """Return the room of a file: the folder below ``servicebus/``, ``top`` for the modules that lie in none."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else "top"


def by_room(files: Mapping[str, Mapping[str, Any]]) -> dict[str, Covered]:
    """Add up what coverage.py has measured, a file at a time, for each room."""
    rooms: dict[str, Covered] = defaultdict(lambda: Covered(0, 0))
    for path, measured in files.items():
        counts, before = measured["summary"], rooms[room_of(path)]
        ran = counts["covered_lines"] + counts["covered_branches"]
        rooms[room_of(path)] = Covered(before.ran + ran, before.all + counts["num_statements"] + counts["num_branches"])
    return dict(rooms)


def too_low(rooms: Mapping[str, Covered], least: Mapping[str, int]) -> list[str]:
    """Return one line for each room below its floor and for each room without a floor."""
    return [
        f"{room}: {covered.percent:.1f} %, and {least[room]} % is its floor: test what is new in it"
        if room in least
        else f"{room}: give it a floor in [tool.servicebus.coverage] of pyproject.toml ({covered.percent:.1f} % ran)"
        for room, covered in sorted(rooms.items())
        if covered.percent < least.get(room, 101)
    ]


def table(rooms: Mapping[str, Covered], least: Mapping[str, int]) -> Iterable[str]:
    for room, covered in sorted(rooms.items()):
        yield f"{room:15} {covered.percent:5.1f} %  floor {least.get(room, 0)} %"


def main() -> int:
    """Read a JSON report from standard input, print the table of rooms, and return 1 if one is below its floor."""
    rooms, least = by_room(json.load(sys.stdin)["files"]), floors()
    print("\n".join(table(rooms, least)))
    low = too_low(rooms, least)
    print("\n".join(low), file=sys.stderr)
    return bool(low)


if __name__ == "__main__":
    sys.exit(main())
