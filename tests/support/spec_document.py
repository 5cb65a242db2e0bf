"""docs/spec.md, and the tables in it."""

from __future__ import annotations

import re
from pathlib import Path

SPEC = Path(__file__).parents[2].joinpath("docs", "spec.md").read_text(encoding="utf-8")


def rows(heading: str, table: int = 0) -> list[list[str]]:
    """Return the rows of one table of a section, without the head: the cells of each row."""
    section = re.split(rf"^#+ {re.escape(heading)}$", SPEC, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, flags=re.MULTILINE)[0]
    found = re.findall(r"(?:^\|.*\n)+", section, flags=re.MULTILINE)[table]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in found.splitlines()[2:]]
