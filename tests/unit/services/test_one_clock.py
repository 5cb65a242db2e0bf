"""The services compare instants on the clock of their database, never on that of the machine they run on."""

from __future__ import annotations

import ast

from ...support.house.source import Finding, held, nodes, sources

WALL_CLOCKS = {"now", "utcnow", "today", "localtime", "localdate", "time_ns"}
"""Functions of datetime, time and Django's timezone that read the clock of the machine."""
WALL_CLOCK_OPTIONS = {"auto_now", "auto_now_add"}
"""Options of Django's fields that do so."""


def test_no_service_reads_the_wall_clock_of_its_machine() -> None:
    findings = [
        Finding(source.path, node.lineno, "reads a wall clock: use Now() of the database, or a monotonic clock")
        for source in sources("services")
        for node in nodes(source)
        if isinstance(node, (ast.Attribute, ast.keyword)) and _reads_wall_clock(node)
    ]
    assert not held(findings)


def _reads_wall_clock(node: ast.Attribute | ast.keyword) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg in WALL_CLOCK_OPTIONS
    return node.attr in WALL_CLOCKS or ast.unparse(node) == "time.time"
