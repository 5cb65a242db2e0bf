"""Random names: of a process's inbox, and of the calls that it makes."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator

PROCESS_CHARACTERS = 22
"""Characters of a process's part of its inbox: 129 random bits, so that no stranger can guess it."""
CALL_CHARACTERS = 11
"""Characters of a call ID: 64 random bits, so that a stranger who has seen other calls cannot guess it."""
IDS_PER_DRAW = 256
"""Call IDs made from one read of the system's random numbers: one system call for so many calls."""


def random_name(characters: int) -> str:
    """A name of letters and digits, with 5.9 random bits in each character."""
    # "+" and "/" become letters: a worker recognizes a reply channel of letters and digits at a glance.
    return base64.b64encode(os.urandom(-(-characters * 3 // 4)), b"AB").decode()[:characters]


def call_ids() -> Iterator[str]:
    """Call IDs without end. A generator, because taking its next value costs less than a method."""
    while True:
        drawn = random_name(CALL_CHARACTERS * IDS_PER_DRAW)
        for at in range(0, len(drawn), CALL_CHARACTERS):
            yield drawn[at : at + CALL_CHARACTERS]
