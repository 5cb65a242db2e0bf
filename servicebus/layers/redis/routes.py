"""Where frames go and under what limits: per list, and per process-local channel whose own capacity is kept."""

from __future__ import annotations

from typing import NamedTuple

from ...protocol.names import route
from ..base import CapacityOf, Limits
from .keys import Keys

REMEMBERED = 10_000


class Route(NamedTuple):
    """The list, the key beside it (workers, or counts when the channel is counted), capacity, TTL, local name."""

    list_key: bytes
    beside: bytes
    capacity: int
    ttl_ms: int
    local: str


class Routes:
    """Routes by name, remembered for the names seen last."""

    def __init__(self, keys: Keys, limits: Limits) -> None:
        self._keys, self._capacity = keys, CapacityOf(limits)
        self._ttl_ms = int(limits.expiry * 1000) + 1000
        self._plain: dict[str, Route] = {}
        self._counted: dict[str, Route] = {}

    def plain(self, name: str) -> Route:
        """The route of a channel or an inbox."""
        known = self._plain.get(name)
        if known is None:
            keys = self._keys
            known = Route(keys.messages(name), keys.workers(name), self._capacity(name), self._ttl_ms, "")
            _remember(self._plain, name, known)
        return known

    def counted(self, channel: str) -> Route:
        """The route of a channel whose own capacity is kept, by its full name."""
        known, capacity = self._counted.get(channel), self._capacity.of_channel(channel)
        if known is None or known.capacity != capacity:
            keys, (inbox, local) = self._keys, route(channel)
            known = Route(keys.messages(inbox), keys.counts(inbox), capacity, self._ttl_ms, local)
            _remember(self._counted, channel, known)
        return known


def _remember(table: dict[str, Route], name: str, found: Route) -> None:
    if len(table) >= REMEMBERED:
        table.clear()
    table[name] = found
