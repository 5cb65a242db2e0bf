"""After ``os.fork()``, run a callback in the child for each object whose sockets or threads belong to the parent."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

ForkedT = TypeVar("ForkedT")


class ForkCallbacks:
    """The callbacks of one process. It registers with the interpreter when the first callback comes, and once only.

    Attributes:
        callbacks: each object, held weakly, and what is called with that object in the child.
        registered: whether the interpreter calls ``run`` after a fork. The interpreter has no way to end that.
    """

    def __init__(self) -> None:
        self.callbacks: WeakKeyDictionary[Any, Callable[[Any], None]] = WeakKeyDictionary()
        self.registered = False

    def add(self, owner: ForkedT, in_child: Callable[[ForkedT], None]) -> None:
        """Call ``in_child(owner)`` in the child of every fork for as long as ``owner`` lives."""
        self.callbacks[owner] = in_child
        if not self.registered:
            self.registered = True
            os.register_at_fork(after_in_child=self.run)

    def run(self) -> None:
        """Call every callback. The interpreter does this in the child, before anything else runs there."""
        for owner, in_child in list(self.callbacks.items()):
            in_child(owner)


_callbacks = ForkCallbacks()
"""The one table of this process. A child inherits the table and the registration."""


def run_in_child(owner: ForkedT, in_child: Callable[[ForkedT], None]) -> None:
    """Call ``in_child(owner)`` in the child of every fork, before anything else runs there, while ``owner`` lives."""
    _callbacks.add(owner, in_child)
