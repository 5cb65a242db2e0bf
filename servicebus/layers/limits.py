"""How much a channel may hold, and for how long."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate

from ..config import DEFAULT_CAPACITY, DEFAULT_EXPIRY, DEFAULT_PRESENCE_TTL, DEFAULT_TIMING, Timing

DEFAULT_INBOX_CAPACITY = 100_000
"""Elements that wait for a whole process, messages and bundles: it drains its inbox all the time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a channel may hold, and for how long.

    Attributes:
        capacity: messages per channel, unless ``channel_capacity`` says otherwise.
        channel_capacity: glob or compiled pattern to messages; the first that matches the whole name wins.
        expiry: seconds that a message may lie unread.
        presence_ttl: seconds after which a silent worker no longer counts as one.
        capacity_of: asked for the capacity of a channel instead of the first two, from any thread. It may not raise.
        inbox_capacity: elements, messages and bundles, that wait for a whole process.
        timing: how long the waits of a layer take.
    """

    capacity: int = DEFAULT_CAPACITY
    channel_capacity: Mapping[str | re.Pattern[str], int] = field(default_factory=dict)
    expiry: float = DEFAULT_EXPIRY
    presence_ttl: float = DEFAULT_PRESENCE_TTL
    capacity_of: Callable[[str], int] | None = None
    inbox_capacity: int = DEFAULT_INBOX_CAPACITY
    timing: Timing = DEFAULT_TIMING

    def capacity_rules(self) -> list[tuple[re.Pattern[str], int]]:
        """The patterns of ``channel_capacity``, compiled, in order."""
        return [
            (re.compile(translate(pattern)) if isinstance(pattern, str) else pattern, capacity)
            for pattern, capacity in self.channel_capacity.items()
        ]


class CapacityOf:
    """Capacity by the name of a channel or inbox, remembered for the names seen last."""

    def __init__(self, limits: Limits) -> None:
        self._ask = limits.capacity_of
        self._default = limits.capacity
        self._inbox_capacity = limits.inbox_capacity
        self._rules = limits.capacity_rules()
        self._known: dict[str, int] = {}

    def __call__(self, channel: str) -> int:
        return self._inbox_capacity if channel.endswith("!") else self.of_channel(channel)

    def of_channel(self, channel: str) -> int:
        """The capacity of a channel by its full name, which may end with the ``!`` of an inbox."""
        if self._ask is not None:
            return self._ask(channel)
        if not self._rules:
            return self._default
        known = self._known.get(channel)
        if known is None:
            if len(self._known) >= 10_000:
                self._known.clear()
            matches = (capacity for pattern, capacity in self._rules if pattern.match(channel))
            known = self._known[channel] = next(matches, self._default)
        return known
