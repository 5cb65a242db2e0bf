"""A fault plan: the rules by which a faulty transport drops, delays, duplicates or refuses the next messages."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Action = Literal["pass", "drop", "delay", "duplicate", "refuse"]
"""What is done with one message. ``pass`` sends it as it is."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault for the messages to some channels.

    Attributes:
        action: what is done with a message.
        channel: the name of a channel, or a glob that matches names of channels.
        seconds: by how much ``delay`` delays a message.
    """

    action: Action
    channel: str = "*"
    seconds: float = 0.0


PASS = Rule("pass")
"""What ``next`` returns for a message that no rule matches."""


class FaultPlan:
    """Rules, each for a number of messages. The oldest rule that matches a message's channel is applied to it.

    A message that no rule matches is sent as it is. A rule names its channel, or gives a glob. Replies to callers and
    messages to process-local channels go to inboxes, whose names match ``*!``.

    Attributes:
        done: how many messages each action has been applied to.
    """

    def __init__(self) -> None:
        # The rules that are not used up, oldest first: number of the rule -> the rule and the messages left for it.
        self._left: dict[int, tuple[Rule, int]] = {}
        # The number of the newest rule.
        self._newest = 0
        self.done: Counter[Action] = Counter()

    def drop(self, channel: str = "*", *, times: int = 1) -> None:
        """Lose the next messages: each sender is told that the channel took the message."""
        self._add(Rule("drop", channel), times)

    def delay(self, channel: str = "*", *, seconds: float, times: int = 1) -> None:
        """Send the next messages ``seconds`` later: other messages overtake them."""
        self._add(Rule("delay", channel, seconds), times)

    def duplicate(self, channel: str = "*", *, times: int = 1) -> None:
        """Send each of the next messages twice."""
        self._add(Rule("duplicate", channel), times)

    def refuse(self, channel: str = "*", *, times: int = 1) -> None:
        """Send none of the next messages: each sender is told that the channel is full."""
        self._add(Rule("refuse", channel), times)

    def clear(self) -> None:
        """Remove all rules. Messages that are delayed already are still sent when they are due."""
        self._left.clear()

    def next(self, channel: str) -> Rule:
        """Return the rule for the next message to ``channel``, and count the message in ``done``."""
        for number, (rule, left) in self._left.items():
            if fnmatchcase(channel, rule.channel):
                self._count_down(number, rule, left)
                self.done[rule.action] += 1
                return rule
        return PASS

    def _add(self, rule: Rule, times: int) -> None:
        if times > 0:
            self._newest += 1
            self._left[self._newest] = rule, times

    def _count_down(self, number: int, rule: Rule, left: int) -> None:
        if left > 1:
            self._left[number] = rule, left - 1
        else:
            del self._left[number]
