"""No circle among the imports of the package; the directions are import-linter's (``make check``)."""

from __future__ import annotations

from ...support.house.imports import circles, import_graph
from ...support.house.source import Source, held, parse, sources


def found(*files: Source) -> str:
    return held(circles(import_graph(files), {source.module: source.path for source in files}))


def test_no_import_closes_a_circle() -> None:
    files = sources("servicebus")
    paths = {source.module: source.path for source in files}
    assert not held(circles(import_graph(files), paths))


def test_a_circle_through_a_type_checking_import_is_found() -> None:
    upper = parse("house/upper.py", "from .lower import Lower\n")
    lower = parse("house/lower.py", "if TYPE_CHECKING:\n    from .upper import Upper\n")
    assert "house/lower.py:2: imports house.upper, which imports house.lower again" in found(upper, lower)


def test_a_circle_through_a_module_name_in_a_string_is_found() -> None:
    upper = parse("house/upper.py", "from . import lower\n")
    lower = parse("house/lower.py", "import_module('house.upper')\n")
    assert "house/lower.py:1: imports house.upper" in found(parse("house/__init__.py", ""), upper, lower)


def test_a_package_that_exports_its_own_modules_is_not_a_circle() -> None:
    package = parse("house/__init__.py", "from .lower import Lower\n")
    lower = parse("house/lower.py", "from . import upper\nimport house\n")
    assert not found(package, lower, parse("house/upper.py", ""))
