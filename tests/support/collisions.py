"""Keys that a dict of CPython cannot tell apart by their hashes, and maps of them in msgpack."""

from __future__ import annotations

import msgspec

P1, P2, P5 = 11400714785074694791, 14029467366897019727, 2870177450012600261
"""The constants of the hash of a tuple: Objects/tupleobject.c of CPython."""
SIZE = 2**64
LARGEST_HASH = 2**61 - 1
"""The largest hash of an int, which is its own hash up to this one."""
TARGET = 12_345_678_901_234_567
"""What the hash of each tuple comes from: any number will do."""


def colliding_tuples(number: int) -> list[tuple[int, int]]:
    """Pairs that have all the same hash."""
    inverse = pow(P2, -1, SIZE)
    found: list[tuple[int, int]] = []
    first = 0
    while len(found) < number:
        state = (P5 + first * P2) % SIZE
        state = (state << 31 | state >> 33) * P1 % SIZE
        second = (TARGET - state) * inverse % SIZE
        second -= SIZE if second >= SIZE // 2 else 0
        if abs(second) < LARGEST_HASH and second != -1:
            found.append((first, second))
        first += 1
    return found


def colliding_map(number: int) -> bytes:
    """A map by such pairs, in msgpack."""
    return msgspec.msgpack.encode(dict.fromkeys(colliding_tuples(number), 0))
