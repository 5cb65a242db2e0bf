"""Frames as they come from a server, to the items of mailboxes."""

from __future__ import annotations

from typing import Protocol

from ..protocol.codec import MAX_FRAME, MalformedFrame, decode_raw
from .drop_counters import DropCounters
from .mailbox import Item


class ServerTime(Protocol):
    """The clock of a server. ``shard.Shard`` is one."""

    def local_instant(self, server_ms: int) -> float:
        """An instant of that clock on the monotonic clock of this machine, in seconds."""
        ...


def read_frames(frames: list[bytes], fence: int, server: ServerTime, counters: DropCounters) -> list[tuple[str, Item]]:
    """The local name and the item of each frame.

    A frame that is malformed, or that another primary than ``fence`` has handed out already, is dropped and counted.
    """
    items = []
    for frame in frames:
        try:
            parsed = decode_raw(frame, MAX_FRAME)
        except MalformedFrame as error:
            counters.drop_unreadable("the server", str(error))
            continue
        if parsed.fence and fence and parsed.fence != fence:
            counters.drop_unreadable("the server", "another primary had taken it")
            continue
        items.append((parsed.local, Item(server.local_instant(parsed.expires), frame, counted=False)))
    return items
