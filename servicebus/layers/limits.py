"""How much a channel may hold, and for how long."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate

from ..config import DEFAULT_CAPACITY, DEFAULT_EXPIRY, DEFAULT_PRESENCE_TTL, DEFAULT_TIMING, Timing
from ..foundation.memo import Memo

DEFAULT_INBOX_CAPACITY = 100_000
"""Elements, messages and bundles, that may wait for one process: a process drains its inbox all the time."""
DEFAULT_MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Bytes that may wait for a connection: a second of messages at full speed, and a bound for the process's memory."""
DEFAULT_FLUSH_AT = 64
"""Frames of a batch that leave before the end of the event loop's tick, so that workers start on them meanwhile."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a channel may hold, and for how long.

    Attributes:
        capacity: messages per channel, unless ``channel_capacity`` says otherwise.
        channel_capacity: glob or compiled pattern to messages; the first that matches the whole name wins.
        expiry: seconds that a message may lie unread.
        presence_ttl: seconds after which a silent worker no longer counts as one.
        capacity_of: asked for the capacity of a channel instead of the first two, from any thread. It may not raise.
        inbox_capacity: elements, messages and bundles, that may wait for one process.
        max_waiting_bytes: bytes that may wait in this process for a connection.
        flush_at: frames of a batch that leave before the end of the event loop's tick.
        timing: how long the waits of a layer take.
    """

    capacity: int = DEFAULT_CAPACITY
    channel_capacity: Mapping[str | re.Pattern[str], int] = field(default_factory=dict)
    expiry: float = DEFAULT_EXPIRY
    presence_ttl: float = DEFAULT_PRESENCE_TTL
    capacity_of: Callable[[str], int] | None = None
    inbox_capacity: int = DEFAULT_INBOX_CAPACITY
    max_waiting_bytes: int = DEFAULT_MAX_WAITING_BYTES
    flush_at: int = DEFAULT_FLUSH_AT
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
        self._known: Memo[str, int] = Memo(self._by_rules)

    def __call__(self, channel: str) -> int:
        return self._inbox_capacity if channel.endswith("!") else self.of_channel(channel)

    def of_channel(self, channel: str) -> int:
        """The capacity of a channel by its full name, which may end with the ``!`` of an inbox."""
        if self._ask is not None:
            return self._ask(channel)
        if not self._rules:
            return self._default
        return self._known[channel]

    def _by_rules(self, channel: str) -> int:
        return next((capacity for pattern, capacity in self._rules if pattern.match(channel)), self._default)
