"""Several frames in one list element of an inbox: docs/spec.md, section 5.

A worker that answers many calls of one process at once pushes one element for all of them. A frame goes in as bytes, so
that a frame that cannot be read spoils no other.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from .codec import UNDECODABLE

MARK = b"\x91"
"""How a bundle begins. No frame does."""
MAX_FRAMES = 64
"""Frames in a bundle. The frames of one bundle are handled without a turn of the event loop, so they must be few."""

_decode = msgspec.msgpack.Decoder(tuple[Annotated[list[bytes], msgspec.Meta(max_length=MAX_FRAMES)]]).decode
_encode = msgspec.msgpack.Encoder().encode


def bundle(frames: list[bytes]) -> bytes:
    """``MAX_FRAMES`` frames at most, oldest first, as one element."""
    return _encode((frames,))


def bundles(frames: list[bytes]) -> list[bytes]:
    """Frames as elements, each of ``MAX_FRAMES`` of them but for the last; a lone one is its own element."""
    parts = (frames[at : at + MAX_FRAMES] for at in range(0, len(frames), MAX_FRAMES))
    return [bundle(part) if len(part) > 1 else part[0] for part in parts]


def unbundled(elements: list[bytes]) -> list[bytes]:
    """The frames in the elements of an inbox, in order. A bundle that cannot be opened stays: it is no frame either."""
    frames: list[bytes] = []
    for element in elements:
        if element.startswith(MARK):
            try:
                frames += _decode(element)[0]
                continue
            except UNDECODABLE:
                pass
        frames.append(element)
    return frames
