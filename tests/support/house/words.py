"""Read the glossary: the words that are used, and those that were given up. Find the latter in the project's files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

from .source import ROOT, Finding, Source, nodes, sources

GLOSSARY = "docs/glossary.md"
"""The file with both tables, relative to the root of the project."""

FOLDERS = ("servicebus", "services", "bench", "tests")
"""The folders whose Python files use the words of the glossary."""

CELLS = re.compile(r"^\| (?P<word>[^|]+) \| (?P<meaning>.+) \|$", re.MULTILINE)
"""A row of a table in the glossary; the caption is one too."""

PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
"""The words of a text or of an identifier: ``take_unsent`` and ``TakeUnsent`` have two."""


class GivenUp(NamedTuple):
    """The words that are not used, each with what to write instead.

    Attributes:
        words: one word each, in lower case; neither prose nor a part of an identifier may be one.
        phrases: several words each.
        names: identifiers, exactly.
    """

    words: Mapping[str, str]
    phrases: Mapping[str, str]
    names: Mapping[str, str]


def terms() -> list[str]:
    """Return the terms that the glossary explains."""
    used = (ROOT / GLOSSARY).read_text().partition("\n## ")[0]
    return [found["word"] for found in CELLS.finditer(used) if found["word"] != "word"]


def given_up() -> GivenUp:
    """Read the glossary's table of the words that were given up."""
    table = (ROOT / GLOSSARY).read_text().partition("\n## Words that were given up\n")[2]
    read = GivenUp({}, {}, {})
    found: dict[str, str] = {}
    for row in CELLS.finditer(table):
        found |= dict.fromkeys(row["word"].split(", "), row["meaning"])
    found.pop("word", None)
    names = {word.strip("`"): instead for word, instead in found.items() if word.startswith("`")}
    phrases = {word: instead for word, instead in found.items() if " " in word}
    words = {word: instead for word, instead in found.items() if word not in phrases and not word.startswith("`")}
    return read._replace(words=words, phrases=phrases, names=names)


def code() -> Iterator[Source]:
    """Yield the project's Python files."""
    for folder in FOLDERS:
        yield from sources(folder)


def prose() -> Iterator[tuple[str, str]]:
    """Yield path and text of each page of the documentation, the glossary left out."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        path = page.relative_to(ROOT).as_posix()
        if path != GLOSSARY:
            yield path, page.read_text()


def words_in(path: str, text: str, banned: GivenUp) -> Iterator[Finding]:
    """Yield the words and phrases of a text that were given up."""
    for number, line in enumerate(text.splitlines(), 1):
        for part in PARTS.findall(line):
            if part.lower() in banned.words:
                yield _finding(path, number, part.lower(), banned.words)
    for phrase in banned.phrases:
        for found in re.finditer(phrase.replace(" ", r"[\s#]+"), text, re.IGNORECASE):
            yield _finding(path, text.count("\n", 0, found.start()) + 1, phrase, banned.phrases)


def names_in(source: Source, banned: GivenUp) -> Iterator[Finding]:
    """Yield the places of a file where something gets a name that was given up."""
    for node in nodes(source):
        for name, line in _named(node):
            if name.removeprefix("_") in banned.names:
                yield _finding(source.path, line, name.removeprefix("_"), banned.names)


def _named(node: ast.AST) -> Iterable[tuple[str, int]]:
    """Return the lasting names that a node gives: local variables and parameters may be named freely."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [(node.name, node.lineno)]
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return [(node.attr, node.lineno)]
    if isinstance(node, ast.Module):
        targets = [target for statement in node.body for target in _targets(statement)]
        return [(target.id, target.lineno) for target in targets if isinstance(target, ast.Name)]
    return []


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def _finding(path: str, line: int, word: str, instead: Mapping[str, str]) -> Finding:
    return Finding(path, line, f'uses "{word}", which was given up; write instead: {instead[word]}')


@cache
def all_findings() -> tuple[Finding, ...]:
    """Return each use, in the whole project, of a word that was given up."""
    banned = given_up()
    found: list[Finding] = []
    for source in code():
        found += [*words_in(source.path, source.text, banned), *names_in(source, banned)]
    for path, text in prose():
        found += words_in(path, text, banned)
    return tuple(found)


def forms(term: str) -> list[str]:
    """Return the ways in which code writes a term: apart, with an underscore, or in one word."""
    plain = term.lower().replace("/", "")
    return [term.lower(), plain, plain.replace(" ", "_"), plain.replace(" ", "")]
