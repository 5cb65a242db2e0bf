"""Frames that came to a primary of a Cluster with their slot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

import msgspec

from ....protocol.bundles import MARK as BUNDLE
from ....protocol.bundles import bundle, unbundled
from ....protocol.codec import (
    MAX_FRAME,
    MalformedFrame,
    decode_raw,
    restamped,
)
from ....protocol.envelope import SIGNED, UNSIGNED
from ..connection.greeting import Greeting

_encode = msgspec.msgpack.Encoder().encode
_ARRAYS = (*UNSIGNED, SIGNED)
"""How a frame begins."""


def adopted(frames: list[bytes], greeting: Greeting, is_primary: Callable[[int], bool]) -> list[bytes]:
    """What was popped from one primary; frames that another one took and that moved here get the fence of this one.

    ``is_primary(fence)``: the other one is there still, so they were not resurrected by a replica that took its place.
    A promoted replica adopts nothing: it may hold again what its own primary had adopted and handed out. A server that
    was restarted adopts nothing from before: it may hold again what it had handed out itself. Replies do no harm twice.
    A primary whose fence has changed without a promotion adopts what has its former one.
    """
    if not _may_adopt(greeting):
        return frames
    ours = beginnings(greeting.fence)

    def one(frame: bytes) -> bytes:
        return frame if frame.startswith(ours) else _adopted(frame, greeting, is_primary)

    def opened(element: bytes) -> bytes:
        parts = unbundled([element])
        return element if all(part.startswith(ours) for part in parts) else bundle([one(part) for part in parts])

    return [opened(element) if element.startswith(BUNDLE) else one(element) for element in frames]


def runs(
    frames: list[bytes], greeting: Greeting, is_primary: Callable[[int], bool]
) -> Iterator[tuple[list[bytes], int]]:
    """The same in runs, in order, each with the fence under which it is to be taken.

    A signature covers the fence, so what is signed cannot be given another: it is taken under the one that it has.
    """
    ours = beginnings(greeting.fence)
    if not _may_adopt(greeting) or not [frame for frame in frames if not frame.startswith(ours)]:
        yield frames, greeting.fence
        return

    def taken_under(frame: bytes) -> int:
        signed = frame.startswith(SIGNED) and not frame.startswith(ours)
        return (signed and _moved_from(frame, greeting, is_primary)) or greeting.fence

    for fence, run in groupby(adopted(frames, greeting, is_primary), taken_under):
        yield list(run), fence


def beginnings(fence: int) -> tuple[bytes, ...]:
    """How frames begin that the primary with this fence took."""
    encoded = _encode(fence)
    return tuple(array + encoded for array in _ARRAYS)


def _may_adopt(greeting: Greeting) -> bool:
    """Whether any frame under another fence may be taken. Without a fence every frame is taken, as it is."""
    return greeting.fence != 0 and (greeting.former != 0 or not greeting.promoted)


def _adopted(frame: bytes, greeting: Greeting, is_primary: Callable[[int], bool]) -> bytes:
    moved = not frame.startswith(SIGNED) and _moved_from(frame, greeting, is_primary)
    return restamped(frame, greeting.fence) if moved else frame


def _moved_from(frame: bytes, greeting: Greeting, is_primary: Callable[[int], bool]) -> int:
    """The other fence under which a frame may be taken nevertheless, 0 for any other frame.

    It is that of the primary that the frame came from with its slot, or the former one of this primary.
    """
    try:
        parsed = decode_raw(frame, MAX_FRAME)
    except MalformedFrame:
        return 0
    if greeting.promoted or parsed.fence == greeting.former:
        return parsed.fence if greeting.has_fence(parsed.fence) else 0
    is_reply = parsed.local != "" and not parsed.sent
    fresh = is_reply or parsed.sent > greeting.started_ms
    moved = parsed.fence not in (0, greeting.fence) and fresh and is_primary(parsed.fence)
    return parsed.fence if moved else 0
