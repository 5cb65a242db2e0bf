"""Check the names of tests, the names of their files, and what they import."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator

from .source import Finding, Source, nodes, type_of_function

NAME_LENGTH = 70
"""Characters of a test's name, at most, ``test_`` among them."""


def long_names(files: Iterable[Source]) -> Iterator[Finding]:
    for source in files:
        for node in nodes(source):
            if isinstance(node, type_of_function) and node.name.startswith("test_") and len(node.name) > NAME_LENGTH:
                what = (
                    f"{node.name} has {len(node.name)} characters (at most {NAME_LENGTH}); say it in a plain sentence"
                )
                yield Finding(source.path, node.lineno, what)


def repeated_file_names(files: Iterable[Source]) -> Iterator[Finding]:
    places: dict[str, list[str]] = defaultdict(list)
    for source in files:
        name = source.path.rpartition("/")[2]
        if name.startswith("test_"):
            places[name].append(source.path)
    for first, *others in places.values():
        for other in others:
            yield Finding(other, 1, f"has the file name of {first}; name the file after the room that it tests too")


def imported_tests(files: Iterable[Source]) -> Iterator[Finding]:
    """Yield the imports of test modules: what two tests share belongs in tests/support."""
    for source in files:
        for node in nodes(source):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module or ''}.{alias.name}" for alias in node.names]
            else:
                continue
            modules = [
                name.split(".")[:-1] if isinstance(node, ast.ImportFrom) and node.module else name.split(".")
                for name in names
            ]
            if any(part.startswith("test_") for parts in modules for part in parts):
                yield Finding(
                    source.path, node.lineno, "imports from a test module; move what they share to tests/support"
                )
