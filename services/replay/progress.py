"""Shows the progress of the replay on standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .driver import Progress

LINES = 10
"""Lines of progress without a terminal: one for each tenth."""


@contextmanager
def shown() -> Iterator[Progress]:
    """Yield a callback for ``replay`` that shows the progress. The bar needs a terminal and rich."""
    if sys.stderr.isatty() and importlib.util.find_spec("rich"):
        with _bar() as progress:
            yield progress
    else:
        yield _lines


def _lines(done: int, total: int, confirmed: int, rejected: int) -> None:
    if done == total or done * LINES // total > (done - 1) * LINES // total:
        print(f"{done}/{total} invoices, {_counts(confirmed, rejected)}", file=sys.stderr, flush=True)


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True)) as bar:
        task = bar.add_task("placing orders", total=None)

        def show(done: int, total: int, confirmed: int, rejected: int) -> None:
            bar.update(task, completed=done, total=total, description=_counts(confirmed, rejected))

        yield show


def _counts(confirmed: int, rejected: int) -> str:
    return f"{confirmed} confirmed, {rejected} rejected"
