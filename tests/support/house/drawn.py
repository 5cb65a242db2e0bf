"""The parts of docs/architecture.md that are drawn from the code: the rooms, and the tables of decisions.

``python -m tests.support.house.drawn`` writes them anew; tests/unit/house/test_house_architecture.py compares them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from enum import Enum
from itertools import product
from pathlib import Path
from typing import Any

from servicebus.layers.redis.receiving import arming
from servicebus.layers.redis.sending import verdicts
from servicebus.layers.redis.topology import parking
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


def verdict_table() -> str:
    """Return the table of what becomes of a batch."""
    return _table(verdicts.Fate)


def arming_table() -> str:
    """Return the tables of what a reader does next, and of what it does with an answer."""
    return f"{_table(arming.Step)}\n\n{_table(arming.Reaction)}"


def parking_diagram() -> str:
    """Return the state diagram of a channel whose slot moves, from the decision over all its inputs."""
    rows = [("[*]", "PARKED", "not taken, or no primary")]
    for is_overdue, answered, has_primary, is_proven in product([False, True], repeat=4):
        decision = parking.decide(
            is_overdue=is_overdue, answered=answered, has_primary=has_primary, is_proven=is_proven
        )
        stays = decision not in (parking.Decision.RELEASE, parking.Decision.REFUSE)
        words = ["overdue" if is_overdue else "in time", "answered" if answered else "not answered"]
        words += ["has a primary" if has_primary else "no primary", "which is proven" if is_proven else "not proven"]
        rows.append(("PARKED", "PARKED" if stays else "[*]", f"{', '.join(words)} / {decision.name}"))
    return _mermaid(rows)


def _table(kinds: type[Enum]) -> str:
    lines = [f"| {kinds.__name__.lower()} | meaning |", "|---|---|"]
    return "\n".join([*lines, *(f"| {kind.name} | {kind.value} |" for kind in kinds)])


PARTS = {
    "verdicts": verdict_table,
    "arming": arming_table,
    "parking": parking_diagram,
    "rooms": rooms,
    "call": call_diagram,
    "admission": admission_table,
}
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
