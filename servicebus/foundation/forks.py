"""What a fork has doubled: objects that hold connections hear of it in the child, whose connections these are not."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

DoubledT = TypeVar("DoubledT")

_told: WeakKeyDictionary[Any, Callable[[Any], None]] = WeakKeyDictionary()


def run_in_child(one: DoubledT, in_child: Callable[[DoubledT], None]) -> None:
    """Call ``in_child(one)`` in the child of every fork, before anything else runs there, for as long as it lives."""
    _told[one] = in_child


def _after_fork() -> None:
    for one, in_child in list(_told.items()):
        in_child(one)


os.register_at_fork(after_in_child=_after_fork)
