"""Several frames in one list element of an inbox: docs/spec.md, section 5.

Whoever answers many calls of one process at once has one element pushed, stored and popped for all of them. A frame
goes in as bytes, so that one that cannot be read spoils no other.
"""

from __future__ import annotations

import msgspec

from .codec import UNDECODABLE

MARK = b"\x91"
"""How a bundle begins. No frame does."""

_decode = msgspec.msgpack.Decoder(tuple[list[bytes]]).decode
_encode = msgspec.msgpack.Encoder().encode


def bundle(frames: list[bytes]) -> bytes:
    """Frames, oldest first, as one element."""
    return _encode((frames,))


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
