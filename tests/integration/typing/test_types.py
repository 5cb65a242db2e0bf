from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file for mypy to read, as a user of the installed package would let it."""
    monkeypatch.chdir(ROOT)
    return tmp_path / "using.py"


def mypy(file: Path) -> tuple[str, int]:
    """What it says, and its exit code."""
    options = [
        "--strict",
        "--config-file=",
        "--follow-imports=silent",
        "--cache-dir=.mypy_cache/typing",
        "--no-sqlite-cache",
    ]
    said, _, code = api.run([*options, str(file)])
    return said, code


def test_the_public_types_are_what_they_should_be(check: Path) -> None:
    check.write_text((HERE / "public_types.py").read_text())
    said, code = mypy(check)
    assert code == 0, said


def test_a_type_that_is_not_what_it_should_be_is_noticed(check: Path) -> None:
    """The file above would pass just as well if everything were Any and nothing checked."""
    source = (HERE / "public_types.py").read_text()
    source = source.replace('Reserve(order_id="o-1")), Reserved)', 'Reserve(order_id="o-1")), int)')
    check.write_text(source.replace("class Names(Request[list[str]])", "class Names(Request[Any])"))
    said, code = mypy(check)
    assert code == 1
    assert 'Expression is of type "Reserved", not "int"' in said
    assert 'Expression is of type "Any", not "list[str]"' in said
