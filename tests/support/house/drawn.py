"""The parts of docs/architecture.md that are drawn from the code: the rooms, and the tables of decisions.

``python -m tests.support.house.drawn`` writes them anew; tests/unit/house/test_house_architecture.py compares them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from servicebus.protocol import admission, call_life

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "servicebus"


def summary(path: Path) -> str:
    """Return the first sentence of a module's docstring, without the period."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).removesuffix(".")


def rooms() -> str:
    """Return the tree of the package: a line for each folder and module, with what its docstring says."""
    lines = ["    servicebus/"]
    lines += _folder(PACKAGE, 1)
    return "\n".join(lines)


def _folder(folder: Path, depth: int) -> Iterable[str]:
    indent = "    " + "  " * depth
    modules = sorted(path for path in folder.glob("*.py") if not path.name.startswith("__"))
    folders = sorted(path for path in folder.iterdir() if (path / "__init__.py").exists())
    for path in modules:
        yield f"{indent}{path.name:24}{summary(path)}"
    for path in folders:
        yield f"{indent}{path.name + '/':24}{summary(path / '__init__.py')}"
        yield from _folder(path, depth + 1)


def _mermaid(rows: Iterable[tuple[str, str, str]]) -> str:
    return "\n".join(["```mermaid", "stateDiagram-v2", *(f"    {a} --> {b}: {text}" for a, b, text in rows), "```"])


def call_diagram() -> str:
    """Return the state diagram of a call."""
    rows = [("[*]", call_life.State.PENDING.name, "request sent")]
    for (state, event), step in call_life.TRANSITIONS.items():
        rows.append((state.name, step.state.name, f"{event.name} / {step.action.name}"))
    return _mermaid(rows)


def admission_table() -> str:
    """Return the table of what admission decides, in the order in which it looks."""
    lines = ["| decision | because | counted as | answer |", "|---|---|---|---|"]
    for decision in admission.Decision:
        consequence = admission.CONSEQUENCES.get(decision)
        counter = f"`{consequence.counter}`" if consequence else ""
        lines.append(f"| {decision.name} | {decision.value} | {counter} | {_answer(decision)} |")
    return "\n".join(lines)


def _answer(decision: Any) -> str:
    if decision is admission.Decision.START:
        return "the handler's"
    return 'an error, executed "no"' if decision.name.startswith("ANSWER") else "none"


PARTS = {"rooms": rooms, "call": call_diagram, "admission": admission_table}
"""Each part by the name in its marks: ``<!-- drawn: NAME -->`` and ``<!-- end -->``."""


def redrawn(text: str) -> str:
    """Return the page with every drawn part replaced by what the code says now."""
    for name, draw in PARTS.items():
        before, mark, rest = text.partition(f"<!-- drawn: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}{mark}{draw()}\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(redrawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
