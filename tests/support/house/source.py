"""Read the project's Python files as syntax trees, and describe what a check finds in them."""

from __future__ import annotations

import ast
from collections.abc import Container, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
"""The root of the project's working tree."""

type_of_function = (ast.FunctionDef, ast.AsyncFunctionDef)
"""Both kinds of function definitions, for ``isinstance``."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source(NamedTuple):
    """A Python file.

    Attributes:
        path: relative to the root of the project, with slashes.
        text: as it stands in the file.
        tree: the parsed text. Checks only read it: the tree is shared.
    """

    path: str
    text: str
    tree: ast.Module

    @property
    def module(self) -> str:
        """The dotted name that imports the file."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def is_package(self) -> bool:
        return self.path.endswith("/__init__.py")


class Finding(NamedTuple):
    """A place that breaks a rule of the house, and the way to mend it."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


def parse(path: str, text: str) -> Source:
    return Source(path, text, ast.parse(text, path))


def nodes(source: Source) -> tuple[ast.AST, ...]:
    """Return all nodes of a file's tree, in the order of ``ast.walk``. Several checks share one walk."""
    return _nodes(source.tree)


@cache
def _nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree))


@cache
def sources(folder: str) -> tuple[Source, ...]:
    """Return the Python files below a folder of the project, sorted by path; migrations are left out."""
    found = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py"))
    return tuple(parse(path, (ROOT / path).read_text()) for path in found if "/migrations/" not in path)


def held(findings: Iterable[Finding], allowed: Container[str] = ()) -> str:
    """Return one line for each finding outside the allowed files: the text of a failed check."""
    return "\n".join(str(finding) for finding in sorted(findings) if finding.path not in allowed)


def is_public(name: str) -> bool:
    """Return whether a name is for users: it does not start with an underscore (dunder names are protocols)."""
    return not name.startswith("_")


def public_classes(source: Source) -> Iterator[ast.ClassDef]:
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef) and is_public(node.name):
            yield node


def public_functions(source: Source) -> Iterator[tuple[Function, ast.ClassDef | None]]:
    """Yield each public function of a module, and each public method of its public classes with the class."""
    for node in source.tree.body:
        if isinstance(node, type_of_function) and is_public(node.name):
            yield node, None
    for owner in public_classes(source):
        for node in owner.body:
            if isinstance(node, type_of_function) and is_public(node.name) and not is_overload(node):
                yield node, owner


def is_overload(node: Function) -> bool:
    return any(ast.unparse(decorator).endswith("overload") for decorator in node.decorator_list)


def inside(node: Function) -> Iterator[ast.AST]:
    """Yield the nodes of a function's body, those of functions and classes defined in it left out."""
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        found = waiting.pop()
        yield found
        if not isinstance(found, (*type_of_function, ast.ClassDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(found))
