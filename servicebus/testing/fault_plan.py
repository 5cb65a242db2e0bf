"""Deliberate misbehaviour of a transport: what is to happen to the next messages, as a test has ordered it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Act = Literal["pass", "drop", "delay", "duplicate", "refuse"]


@dataclass(frozen=True, slots=True)
class Order:
    """To do ``act`` to messages for channels that match ``channel``. ``seconds`` is for a delay."""

    act: Act
    channel: str = "*"
    seconds: float = 0.0


PASS = Order("pass")


class Mischief:
    """Orders, each for a number of messages. The first that matches a channel is carried out; without one it is good.

    A channel is given by its name or a glob. All replies to callers and messages for process-local channels go to
    inboxes, which match ``*!``.

    Attributes:
        done: what was done, and how often.
    """

    def __init__(self) -> None:
        self._left: dict[int, tuple[Order, int]] = {}
        self._numbers = 0
        self.done: Counter[Act] = Counter()

    def drop(self, channel: str = "*", *, times: int = 1) -> None:
        """The sender is told that the channel took the message, and it is gone."""
        self._add(Order("drop", channel), times)

    def delay(self, channel: str = "*", *, seconds: float, times: int = 1) -> None:
        """The message is sent so many seconds later: others overtake it."""
        self._add(Order("delay", channel, seconds), times)

    def duplicate(self, channel: str = "*", *, times: int = 1) -> None:
        """The message is sent twice."""
        self._add(Order("duplicate", channel), times)

    def refuse(self, channel: str = "*", *, times: int = 1) -> None:
        """The sender is told that the channel is full."""
        self._add(Order("refuse", channel), times)

    def cease(self) -> None:
        """Forget all orders. What is delayed comes when it is due."""
        self._left.clear()

    def next(self, channel: str) -> Order:
        """What to do to a message for ``channel``: that counts as done."""
        for number, (order, left) in self._left.items():
            if fnmatchcase(channel, order.channel):
                self._count_down(number, order, left)
                self.done[order.act] += 1
                return order
        return PASS

    def _add(self, order: Order, times: int) -> None:
        if times > 0:
            self._numbers += 1
            self._left[self._numbers] = order, times

    def _count_down(self, number: int, order: Order, left: int) -> None:
        if left > 1:
            self._left[number] = order, left - 1
        else:
            del self._left[number]
