"""Find import circles. Imports for type checking and module names in strings count as imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from .source import Finding, Source, nodes

Graph = Mapping[str, Mapping[str, int]]
"""For each module, the modules that it imports, with the line of one such import."""


def import_graph(files: tuple[Source, ...]) -> Graph:
    known = {source.module: source for source in files}
    graph: dict[str, dict[str, int]] = {}
    for module, source in known.items():
        edges: dict[str, int] = {}
        for name, line in _imported(source):
            found = _longest_known(name, known)
            # A package that re-exports its own modules is not a circle with them.
            if found and found != module and not (known[found].is_package and module.startswith(found + ".")):
                edges.setdefault(found, line)
        graph[module] = edges
    return graph


def _longest_known(name: str, known: Mapping[str, Source]) -> str:
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def _imported(source: Source) -> Iterator[tuple[str, int]]:
    package = source.module if source.is_package else source.module.rpartition(".")[0]
    for node in nodes(source):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{origin}.{alias.name}", node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_dotted(node.value):
            yield node.value, node.lineno


def _is_dotted(text: str) -> bool:
    """Return whether a string is nothing but a dotted name. Prose names modules too, among other words."""
    return "." in text and text.replace(".", "").isidentifier()


def circles(graph: Graph, paths: Mapping[str, str]) -> list[Finding]:
    """Return a finding for each import that closes a circle."""
    return [
        Finding(paths[module], line, f"imports {target}, which imports {module} again; let one of them point down only")
        for module, edges in graph.items()
        for target, line in edges.items()
        if module in _reachable(graph, target)
    ]


def _reachable(graph: Graph, start: str) -> set[str]:
    seen, waiting = {start}, [start]
    while waiting:
        for target in graph[waiting.pop()]:
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    return seen
