"""Measure classes, functions and modules against the rules of the house."""

from __future__ import annotations

import ast
from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

from .source import Finding, Source, is_overload, nodes, type_of_function

CLASS_LINES = 150
"""Lines of a class, at most: a longer one holds two things."""

CLASS_METHODS = 15
"""Definitions in a class, at most; ``__init__`` and properties count, overloads do not."""

CLASS_ATTRIBUTES = 12
"""Attributes that ``__init__`` sets, at most: a reader has to keep all of them in mind."""

FUNCTION_LINES = 50
"""Lines of a function, at most: one screen."""

MODULE_LINES = 400
"""Lines of a module, at most."""

LOOSE_MODULES = 8
"""Modules at the top of the package, at most; not counting ``__init__`` and ``__main__``. Others go into a room."""


class ClassSize(NamedTuple):
    """What the class rule counts.

    Attributes:
        name: with the module, as ``servicebus.bus.ServiceBus``.
    """

    path: str
    line: int
    name: str
    lines: int
    methods: int
    attributes: int

    @property
    def is_over(self) -> bool:
        return self.lines > CLASS_LINES or self.methods > CLASS_METHODS or self.attributes > CLASS_ATTRIBUTES


def class_sizes(files: Iterable[Source]) -> Iterator[ClassSize]:
    for source in files:
        for node in nodes(source):
            if isinstance(node, ast.ClassDef):
                yield _class_size(source, node)


def _class_size(source: Source, node: ast.ClassDef) -> ClassSize:
    methods = [found for found in node.body if isinstance(found, type_of_function) and not is_overload(found)]
    attributes = {name for method in methods if method.name == "__init__" for name in _set_on_self(method)}
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    return ClassSize(source.path, node.lineno, f"{source.module}.{node.name}", lines, len(methods), len(attributes))


def _set_on_self(method: ast.AST) -> Iterator[str]:
    for node in ast.walk(method):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


def big_classes(files: Iterable[Source], exceptions: Container[str] = ()) -> Iterator[Finding]:
    """Yield the classes over the class rule, those named in ``exceptions`` left out."""
    for size in class_sizes(files):
        if size.is_over and size.name not in exceptions:
            counted = f"{size.lines} lines, {size.methods} methods, {size.attributes} attributes"
            most = f"{CLASS_LINES}, {CLASS_METHODS} and {CLASS_ATTRIBUTES}"
            yield Finding(size.path, size.line, f"{size.name} has {counted} (at most {most}); split what it holds")


def long_functions(files: Iterable[Source]) -> Iterator[Finding]:
    for source in files:
        for node in nodes(source):
            if isinstance(node, type_of_function):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    what = f"{node.name} has {lines} lines (at most {FUNCTION_LINES}); take its steps apart"
                    yield Finding(source.path, node.lineno, what)


def long_modules(files: Iterable[Source]) -> Iterator[Finding]:
    for source in files:
        lines = len(source.text.splitlines())
        if lines > MODULE_LINES:
            yield Finding(source.path, lines, f"has {lines} lines (at most {MODULE_LINES}); make two modules of it")


def loose_modules(files: Iterable[Source]) -> list[str]:
    """Return the modules that lie at the top of the package, in no room. Python asks for the dunder modules."""
    return [source.path for source in files if source.path.count("/") == 1 and "/__" not in source.path]
