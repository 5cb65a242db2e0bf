"""How many messages the reader of a normal channel asks for, and how. No I/O.

A pop waits on the server and brings as many messages as consumers wait. A take does not wait, and brings more messages
than consumers wait for; those count against the capacity of the channel until consumers have them.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

MAX_TAKE = 64
"""Messages of one take: so many pass through a process in a few milliseconds."""
MAX_FULL_POPS = 64
"""Pops. A channel whose takes find nothing is tried again after that many full pops at the latest."""


class Step(Enum):
    """What a reader does next."""

    NOTHING = "nothing"
    TAKE = "take"
    POP = "pop"


def next_step(*, busy: bool, waiting: int, at_once: int) -> Step:
    """What a reader does next.

    One take, pop or return of messages runs at a time, so that the order of messages is kept.

    Args:
        busy: a take, or the return of messages to the server, is running.
        waiting: how many consumers wait.
        at_once: how many messages to ask for, from ``Pace``.
    """
    if busy or not waiting:
        return Step.NOTHING
    return Step.TAKE if at_once > 1 else Step.POP


def to_pop(*, busy: bool, waiting: int, at_once: int) -> int:
    """How many messages a pop may bring; 0 whenever ``next_step`` is not POP."""
    return 0 if busy or at_once > 1 else waiting


class Pace:
    """How many messages to ask for at once: one, by a pop, until taking more has proved worth it.

    Attributes:
        at_once: messages to ask for; more than 1 means a take.
    """

    __slots__ = ("_full_pops", "_needed", "at_once")

    def __init__(self) -> None:
        self.at_once = 1
        # Pops in a row that brought as many messages as they asked for.
        self._full_pops = 0
        # How many of these are needed before the next take.
        self._needed = 1

    def popped(self, *, full: bool) -> None:
        """A pop brought messages. ``full``: as many as it asked for."""
        self._full_pops = self._full_pops + 1 if full else 0
        if self._full_pops >= self._needed:
            self.at_once = 2

    def taken(self, count: int) -> None:
        """A take brought ``count`` messages. After none at all, the next take waits for twice as many full pops."""
        if count >= self.at_once:
            self.at_once = min(self.at_once * 2, MAX_TAKE)
            self._needed = 1
            return
        self._needed = 1 if count else min(self._needed * 2, MAX_FULL_POPS)
        self.slow_down()

    def slow_down(self) -> None:
        """Ask for one message at a time again."""
        self.at_once = 1
        self._full_pops = 0


class Demand:
    """A ``Budget`` for a pop: one message for each consumer that waits, beyond those that have just come.

    ``to_pop`` says how many messages a pop may bring. ``subscribe`` does nothing: the reader wakes its receiver itself,
    whenever a consumer begins to wait.

    Attributes:
        arriving: messages that the last pop has brought and the reader has not put into the mailbox yet.
        asked: how many messages the last pop asked for.
    """

    __slots__ = ("_to_pop", "arriving", "asked")

    def __init__(self, to_pop: Callable[[], int]) -> None:
        self._to_pop = to_pop
        self.arriving = 0
        self.asked = 0

    @property
    def available(self) -> int:
        return self._to_pop() - self.arriving

    def expect(self, count: int) -> None:
        self.asked = count

    def take(self, count: int) -> None:
        self.arriving = count

    def release(self, count: int = 1) -> None:
        self.arriving -= count

    def subscribe(self, callback: Callable[[], object]) -> None:
        """Do nothing: see the class."""
