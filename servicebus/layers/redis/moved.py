"""Frames that came to a primary of a Cluster with their slot."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ...protocol.codec import MAX_FRAME, MalformedFrame, decode_raw, restamped
from .connection import Greeting

_encode = msgspec.msgpack.Encoder().encode
_ARRAYS = (b"\x94", b"\x95")
"""How a frame begins: an array of four or five."""


def adopted(frames: list[bytes], greeting: Greeting, is_primary: Callable[[int], bool]) -> list[bytes]:
    """What was popped from one primary; frames that another one took and that moved here get the fence of this one.

    ``is_primary(fence)``: the other one is there still, so they were not resurrected by a replica that took its place.
    A promoted replica adopts nothing: it may hold again what its own primary had adopted and handed out. A server that
    was restarted adopts nothing from before: it may hold again what it had handed out itself. Replies do no harm twice.
    """
    if greeting.promoted:
        return frames
    fence = _encode(greeting.fence)
    ours = tuple(array + fence for array in _ARRAYS)
    return [frame if frame.startswith(ours) else _adopted(frame, greeting, is_primary) for frame in frames]


def _adopted(frame: bytes, greeting: Greeting, is_primary: Callable[[int], bool]) -> bytes:
    try:
        parsed = decode_raw(frame, MAX_FRAME)
    except MalformedFrame:
        return frame
    is_reply = parsed.local != "" and not parsed.sent
    fresh = is_reply or parsed.sent > greeting.started_ms
    moved = parsed.fence not in (0, greeting.fence) and fresh and is_primary(parsed.fence)
    return restamped(frame, greeting.fence) if moved else frame
