"""How many copies may be sent on top of the calls: a share of the calls, kept by a bucket of tokens."""

from __future__ import annotations

import math

_TOKEN = 1_000_000
"""Tokens are counted in whole parts: ten tenths of a float are less than one."""


class Budget:
    """Each call earns ``share`` of a copy, each copy costs one, and at most ``burst`` are saved up.

    It starts empty, so at every instant the copies are at most ``share`` of the calls so far; and because the saving is
    bounded, a long quiet time does not pay for a storm.
    """

    __slots__ = ("_earned", "_held", "_most")

    def __init__(self, share: float, burst: int) -> None:
        self._earned, self._most = math.floor(share * _TOKEN), burst * _TOKEN
        self._held = 0

    def earn(self) -> None:
        self._held = min(self._most, self._held + self._earned)

    def spend(self) -> bool:
        """Pay for one copy. False: there is not enough for one."""
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
