"""Check that public docstrings state the contract: what it does, what it raises, whether cancelling is safe."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Set

from .source import Finding, Function, Source, inside, nodes, public_classes, public_functions

REFERS = re.compile(r"See\s+``\w+(\.\w+)*``")
"""A class docstring that leaves the contract of its methods to the protocol that it implements."""


def undocumented(files: Iterable[Source]) -> Iterator[Finding]:
    """Yield the public modules, classes and functions without a docstring. Methods may do without."""
    for source in files:
        if not ast.get_docstring(source.tree):
            yield Finding(source.path, 1, "has no docstring; write one line that says what the module does")
        named: list[ast.ClassDef | Function] = [*public_classes(source)]
        named += [node for node, owner in public_functions(source) if owner is None]
        for node in named:
            if not ast.get_docstring(node):
                yield Finding(
                    source.path, node.lineno, f"{node.name} has no docstring; write one line that says what it does"
                )


def silent_about_cancelling(files: Iterable[Source]) -> Iterator[Finding]:
    """Yield the public coroutines whose docstring does not say whether cancelling is safe."""
    for source in files:
        for node, owner in public_functions(source):
            text = ast.get_docstring(node) or ""
            if not isinstance(node, ast.AsyncFunctionDef) or _yields(node) or "ancel" in text:
                continue
            if text or not _leaves_contract_to_protocol(owner):
                name = _name(node, owner)
                yield Finding(
                    source.path, node.lineno, f'{name} does not say "Cancelling is safe: ..." or why it is not'
                )


def silent_about_errors(files: Iterable[Source], errors: Set[str]) -> Iterator[Finding]:
    """Yield the public functions that raise one of our errors and do not name it in a section ``Raises:``."""
    for source in files:
        for node, owner in public_functions(source):
            text = ast.get_docstring(node) or ""
            if not text and _leaves_contract_to_protocol(owner):
                continue
            section = text.partition("Raises:")[2]
            for error, line in _raised(node, errors):
                if error not in section:
                    name = _name(node, owner)
                    yield Finding(
                        source.path, line, f"{name} raises {error}; name it in a section Raises: of its docstring"
                    )


def error_classes(files: Iterable[Source]) -> set[str]:
    """Return the names of the package's exception classes: those that derive from ``ServiceBusError``."""
    bases = {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        for source in files
        for node in nodes(source)
        if isinstance(node, ast.ClassDef)
    }
    found, grown = {"ServiceBusError"}, 0
    while grown != len(found):
        grown = len(found)
        found |= {name for name, above in bases.items() if above & found}
    return found


def bare_numbers(files: Iterable[Source]) -> Iterator[Finding]:
    """Yield the module-level numbers that no docstring line follows."""
    for source in files:
        body = source.tree.body
        for node, after in zip(body, [*body[1:], None], strict=True):
            name = _named_number(node)
            if name and not (isinstance(after, ast.Expr) and _is_text(after.value)):
                what = f"{name} has no docstring; write its unit and its reason in a docstring line under it"
                yield Finding(source.path, node.lineno, what)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _named_number(node: ast.stmt) -> str:
    """Return the name that a statement gives to a number, empty if it does something else."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target, value = node.targets[0], node.value
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        target, value = node.target, node.value
    else:
        return ""
    return target.id if isinstance(target, ast.Name) and _is_number(value) else ""


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and not isinstance(node.value, bool)
    if isinstance(node, ast.UnaryOp):
        return _is_number(node.operand)
    return isinstance(node, ast.BinOp) and _is_number(node.left) and _is_number(node.right)


def _yields(node: Function) -> bool:
    return any(isinstance(found, ast.Yield | ast.YieldFrom) for found in inside(node))


def _leaves_contract_to_protocol(owner: ast.ClassDef | None) -> bool:
    return owner is not None and bool(REFERS.search(ast.get_docstring(owner) or ""))


def _name(node: Function, owner: ast.ClassDef | None) -> str:
    return f"{owner.name}.{node.name}" if owner else node.name


def _raised(node: Function, errors: Set[str]) -> Iterator[tuple[str, int]]:
    for found in inside(node):
        if isinstance(found, ast.Raise) and found.exc is not None:
            raised = found.exc.func if isinstance(found.exc, ast.Call) else found.exc
            name = ast.unparse(raised).rpartition(".")[2]
            if name in errors:
                yield name, found.lineno
