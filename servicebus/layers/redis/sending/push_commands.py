"""How frames are pushed, and under what limits: per list, and per process-local channel whose own capacity is kept."""

from __future__ import annotations

from typing import NamedTuple

from ....protocol.addresses import split_address
from ...limits import CapacityOf, Limits
from ..connection.connection import pack
from ..schema.keys import Keys
from ..schema.scripts import (
    SEND,
    SEND_CHANNEL,
    SEND_LOCAL,
    Script,
)

REMEMBERED = 10_000
NOTHING = b"$0\r\n\r\n"
"""How an empty last argument is packed."""


class Push(NamedTuple):
    """A script call without its frames: its parts, and packed as it begins when there is one frame."""

    parts: tuple[bytes | str | int, ...]
    before_one: bytes

    @classmethod
    def by(cls, script: Script, keys: tuple[bytes, bytes], *arguments: bytes | str | int) -> Push:
        """With two keys and three arguments, which is what the scripts that send have before the frames."""
        parts = script.command(keys, *arguments)
        return cls(parts, pack((*parts, b""))[: -len(NOTHING)])

    def packed(self, elements: list[bytes]) -> bytes:
        if len(elements) > 1:
            return pack((*self.parts, *elements))
        (element,) = elements  # most calls have one, and all but that is the same every time
        return b"%b$%d\r\n%b\r\n" % (self.before_one, len(element), element)


class Route(NamedTuple):
    """The way to one channel: whoever is there, or only when a worker is."""

    capacity: int
    push: Push
    push_to_workers: Push


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
            keys, capacity = (self._keys.messages(name), self._keys.workers(name)), self._capacity(name)
            pushes = (Push.by(SEND, keys, capacity, self._ttl_ms, flag) for flag in (b"0", b"1"))
            known = Route(capacity, *pushes)
            _remember(self._plain, name, known)
        return known

    def counted(self, channel: str) -> Route:
        """The route of a channel whose own capacity is kept, by its full name."""
        known, capacity = self._counted.get(channel), self._capacity.of_channel(channel)
        if known is None or known.capacity != capacity:
            inbox, local = split_address(channel)
            keys = self._keys.messages(inbox), self._keys.counts(inbox)
            push = Push.by(SEND_LOCAL if local else SEND_CHANNEL, keys, capacity, self._ttl_ms, local)
            known = Route(capacity, push, push)
            _remember(self._counted, channel, known)
        return known


def _remember(table: dict[str, Route], name: str, found: Route) -> None:
    if len(table) >= REMEMBERED:
        table.clear()
    table[name] = found
