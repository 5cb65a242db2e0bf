"""A token bucket that bounds the copies of calls, such as retries, to a share of the calls."""

from __future__ import annotations

import math

_TOKEN = 1_000_000
"""Parts of one copy. Whole numbers are counted, because ten times 0.1 as a float is less than 1."""


class Budget:
    """Each call earns ``share`` of a copy, each copy costs one, and at most ``burst`` are saved up.

    It starts empty, so at every instant the copies are at most ``share`` of the calls so far; and because the saving is
    bounded, a long quiet time does not pay for a burst of copies.
    """

    __slots__ = ("_earned", "_held", "_max")

    def __init__(self, share: float, burst: int) -> None:
        self._earned = math.floor(share * _TOKEN)
        self._max = burst * _TOKEN
        self._held = 0

    def earn(self) -> None:
        """Add the share that one call earns."""
        self._held = min(self._max, self._held + self._earned)

    def spend(self) -> bool:
        """Pay for one copy. Return False when too little is saved."""
        if self._held < _TOKEN:
            return False
        self._held -= _TOKEN
        return True


class Unlimited:
    """The budget of a caller whose time alone bounds its retries: every copy is paid for."""

    __slots__ = ()

    def earn(self) -> None:
        """Do nothing: no call needs to pay for a copy."""

    def spend(self) -> bool:
        """Return True: another copy may be sent."""
        return True
