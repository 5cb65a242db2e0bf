"""docs/architecture.md says what the code says: its rooms and its tables are drawn from the code."""

from __future__ import annotations

import pytest

from ...support.house import drawn

TEXT = drawn.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", drawn.PARTS)
def test_a_drawn_part_of_the_architecture_is_up_to_date(name: str) -> None:
    assert f"<!-- drawn: {name} -->\n{drawn.PARTS[name]()}\n<!-- end -->" in TEXT, (
        "run python -m tests.support.house.drawn"
    )


def test_every_module_has_a_summary() -> None:
    missing = [path for path in drawn.PACKAGE.rglob("*.py") if path.name != "__init__.py" and not drawn.summary(path)]
    assert not missing
