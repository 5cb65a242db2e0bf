"""All histories of a run: no row may have broken what the others kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from servicebus.testing import checker
from servicebus.testing.history import read

from ...support.faults.record import JOINED, SUFFIX, Figures

BUSY_MACHINE = 5.0
"""Seconds. Each row has seen to it, as it ran, that starts and outcomes were on time; here nothing is known any more of
how late the machine was then."""


@pytest.mark.row(JOINED)
def test_all_histories_together_keep_every_promise(histories: Path, figures: Figures) -> None:
    found, seen = list[str](), Counter[str]()
    for path in sorted(histories.glob(f"*{SUFFIX}")):
        events = read(path)
        seen.update(event.kind for event in events)
        assert all(event.id.startswith(path.stem) for event in events), "IDs of different rows cannot meet"
        found += checker.problems(events, grace=BUSY_MACHINE, late_start=BUSY_MACHINE)
    if not seen:
        pytest.skip("no other row was run")
    outcomes = ", ".join(f"{seen[kind]:,} {kind}" for kind in sorted(checker.OUTCOMES))
    figures(JOINED, f"{seen['invoke']:,} invocations: {outcomes}; {seen['start']:,} starts; {len(found)} problems")
    assert found == []
