"""What is reported of a module that cannot be imported, and which service a module holds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from servicebus import ConfigurationError
from servicebus.worker.loading import load_service

Written: TypeAlias = Callable[[str], str]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """Write a module of this test, and return its name."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(text: str) -> str:
        name = f"written_{tmp_path.name}".replace("-", "_")
        (tmp_path / f"{name}.py").write_text(text)
        (tmp_path / "part_of_it.py").write_text("\n\nraise KeyError('part')\n")
        for imported in set(sys.modules) - before:
            if imported.startswith(("written_", "part_of_it")):
                del sys.modules[imported]
        return name

    return write


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        ("\n{}['gone']\n", 2, "KeyError: 'gone'"),
        ("import sys\nsys.exit(0)\n", 2, "SystemExit: 0"),
        ("import sys\nsys.exit()\n", 2, "SystemExit"),
        ("class Panic(BaseException): ...\nraise Panic('stop')\n", 2, "Panic: stop"),
        ("\n\nimport not_there_at_all\n", 3, "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("x = 1\ndef (\n", 2, "SyntaxError"),
        ("x = 1\n  y = 2\n", 2, "IndentationError"),
        ("try:\n    {}['host']\nexcept KeyError:\n    raise ValueError('no host')\n", 4, "KeyError: 'host'"),
        (
            "try:\n    {}['host']\nexcept KeyError as e:\n    raise ValueError('no host') from e\n",
            4,
            "ValueError: no host",
        ),
        ("import json\n\njson.loads('{')\n", 3, "JSONDecodeError"),
        ("from servicebus import Service\n\nService('not a name')\n", 3, "ConfigurationError"),
    ],
)
def test_what_a_module_raises_is_shown_with_its_line_and_cause(
    written: Written, text: str, line: int, cause: str
) -> None:
    name = written(text)
    with pytest.raises(ConfigurationError) as caught:
        load_service(name)
    assert f"{name}.py, line {line}" in str(caught.value)
    assert cause in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_line_is_that_of_the_module_that_raised(written: Written) -> None:
    name = written("import part_of_it\n")
    with pytest.raises(ConfigurationError, match=r"part_of_it\.py, line 3: KeyError: 'part'"):
        load_service(name)


def test_an_error_without_a_text_is_shown_by_its_class(written: Written) -> None:
    name = written("class E(Exception):\n    def __str__(self):\n        raise ValueError\nraise E\n")
    with pytest.raises(ConfigurationError, match=r"line 4: E: a E"):
        load_service(name)


def test_causes_that_go_round_in_a_circle_are_shown_once(written: Written) -> None:
    name = written("a, b = ValueError('a'), ValueError('b')\na.__cause__, b.__cause__ = b, a\nraise a\n")
    with pytest.raises(ConfigurationError) as caught:
        load_service(name)
    assert str(caught.value).count("ValueError: a") == 1
    assert str(caught.value).count("ValueError: b") == 1


def test_an_interrupt_while_a_module_is_imported_ends_the_program(written: Written) -> None:
    name = written("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_service(name)


@pytest.mark.parametrize("target", ["", ":service", ".shop", "shop.", "shop..part", "./shop", "shop/part:service"])
def test_a_target_that_names_no_module_shows_the_right_form(target: str) -> None:
    with pytest.raises(ConfigurationError, match="MODULE or MODULE:ATTR"):
        load_service(target)


def test_one_service_under_several_names_is_one_service(written: Written) -> None:
    name = written("from servicebus import Service\nservice = Service('shop')\napp = main = service\n")
    assert load_service(name) is load_service(f"{name}:main")


def test_services_of_which_none_is_named_are_listed_by_name(written: Written) -> None:
    name = written(
        "from servicebus import Service\nshop = Service('shop')\nshop_again = shop\nstock = Service('stock')\n"
    )
    with pytest.raises(ConfigurationError, match=f"holds 2 services: .*{name}:shop .*{name}:stock"):
        load_service(name)
