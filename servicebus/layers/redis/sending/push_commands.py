"""How frames are pushed: one script call for each list, and for each channel whose own capacity applies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ....foundation.memo import Memo
from ....protocol.addresses import split_address
from ...limits import CapacityOf, Limits
from ..connection.connection import pack
from ..schema.keys import Keys
from ..schema.scripts import SEND, SEND_CHANNEL, SEND_LOCAL, Script

EMPTY_ARGUMENT = b"$0\r\n\r\n"
"""How an empty last argument is packed."""
LIST_OUTLIVES_MS = 1000
"""Milliseconds that a list lives longer than its messages: clocks of reader and server may differ a little."""


class Push(NamedTuple):
    """A script call without its frames.

    Attributes:
        parts: of the command.
        before_one: the packed command up to its one frame. Most calls have one frame, so all but the frame is packed
            once for each channel.
    """

    parts: tuple[bytes | str | int, ...]
    before_one: bytes

    @classmethod
    def by(cls, script: Script, keys: Sequence[bytes | str], *arguments: bytes | str | int) -> Push:
        """The call of a send script with its keys and with the three arguments that come before the frames."""
        parts = script.command(keys, *arguments)
        return cls(parts, pack((*parts, b""))[: -len(EMPTY_ARGUMENT)])

    def packed(self, elements: list[bytes]) -> bytes:
        """The whole command."""
        if len(elements) > 1:
            return pack((*self.parts, *elements))
        (element,) = elements
        return b"%b$%d\r\n%b\r\n" % (self.before_one, len(element), element)


class Route(NamedTuple):
    """The way to one channel.

    Attributes:
        capacity: list elements that it may hold.
        push: to the channel, whether it has workers or not.
        push_to_workers: to the channel, if it has a worker.
    """

    capacity: int
    push: Push
    push_to_workers: Push


class Routes:
    """Routes by name, remembered for the names seen last.

    Attributes:
        limits: of the layer.
    """

    def __init__(self, keys: Keys, limits: Limits) -> None:
        self.limits = limits
        self._keys = keys
        self._capacity = CapacityOf(limits)
        self._ttl_ms = int(limits.expiry * 1000) + LIST_OUTLIVES_MS
        self._plain: Memo[str, Route] = Memo(self._new_plain)
        # By name and capacity: the capacity of a channel of the Channels layer may change at any time.
        self._counted: Memo[tuple[str, int], Route] = Memo(self._new_counted)

    def plain(self, name: str) -> Route:
        """The route of a channel or an inbox."""
        return self._plain[name]

    def counted(self, channel: str) -> Route:
        """The route of a channel whose own capacity applies, by its full name."""
        return self._counted[channel, self._capacity.of_channel(channel)]

    def _new_plain(self, name: str) -> Route:
        keys, capacity = [self._keys.messages(name), self._keys.workers(name)], self._capacity(name)
        if not name.endswith("!"):
            keys += [self._keys.pushed(name), self._keys.withdrawn(name)]
        return Route(capacity, *(Push.by(SEND, keys, capacity, self._ttl_ms, flag) for flag in (b"0", b"1")))

    def _new_counted(self, key: tuple[str, int]) -> Route:
        channel, capacity = key
        inbox, local = split_address(channel)
        keys = self._keys.messages(inbox), self._keys.counts(inbox)
        push = Push.by(SEND_LOCAL if local else SEND_CHANNEL, keys, capacity, self._ttl_ms, local)
        return Route(capacity, push, push)
