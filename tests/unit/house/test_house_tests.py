"""Test names are plain sentences, test files have names of their own, and helpers do not lie in test files."""

from __future__ import annotations

import pytest

from ...support.house import naming
from ...support.house.source import held, parse, sources


def test_test_names_are_short() -> None:
    assert not held(naming.long_names(sources("tests")))


def test_names_of_test_files_are_unique() -> None:
    assert not held(naming.repeated_file_names(sources("tests")))


def test_nothing_is_imported_from_a_test_module() -> None:
    assert not held(naming.imported_tests(sources("tests")))


def test_a_long_test_name_is_found() -> None:
    name = "test_" + "x" * naming.NAME_LENGTH
    assert f"{name} has 75 characters (at most 70)" in held(
        naming.long_names([parse("tests/test_a.py", f"def {name}(): ...")]), ()
    )


def test_two_test_files_of_one_name_are_found() -> None:
    files = [parse(path, "") for path in ("tests/a/test_one.py", "tests/b/test_one.py", "tests/b/conftest.py")]
    assert "tests/b/test_one.py:1: has the file name of tests/a/test_one.py" in held(
        naming.repeated_file_names(files), ()
    )


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("from .test_one import helper", True),
        ("from . import test_one", True),
        ("import tests.unit.test_one", True),
        ("from .support.one import test_data_of", False),
        ("from .support import one", False),
    ],
)
def test_an_import_from_a_test_module_is_found(line: str, is_found: bool) -> None:
    assert bool(held(naming.imported_tests([parse("tests/test_two.py", line)]))) is is_found
