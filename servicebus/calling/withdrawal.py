"""Taking the requests of many calls back, in parts: each part has its outcome as soon as the server has answered it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from operator import attrgetter

from ..layers.layer import Layer
from .deliveries import Call

CALLS_PER_PART = 64
"""Calls that are withdrawn together: the server needs a third of a millisecond for them, this process a few more."""
PARTS_AT_ONCE = 8
"""Parts that the server is asked for at once: more would hold up what this process sends meanwhile."""
LOOK_INTERVAL = 0.01
"""Seconds of one look for answers. However long the event loop stands still, that counts as one look."""
SILENT_LOOKS = 4
"""Looks without an answer after which the server is not waited for any more: 40 ms. With ``Timing.verdict_within``
and the 8 ms slots of the correlation table this keeps a caller within 60 ms of its deadline when no answer comes."""

Settle = Callable[[Sequence[Call], set[int]], None]
"""Takes calls, and the ``id()`` of those whose requests were taken back: no worker will ever start them."""

logger = logging.getLogger(__name__)


async def withdraw(layer: Layer, calls: Sequence[Call], settle: Settle) -> None:
    """Try to take the requests of calls back from their channels.

    Each call is given to ``settle`` once. As long as the layer goes on answering, all of them are tried. When it is
    silent, those that are left are settled as not taken back.

    Cancelling is safe: requests may or may not have been taken back, and calls may not be settled.
    """
    ordered = calls if len(calls) <= CALLS_PER_PART else sorted(calls, key=attrgetter("channel"))
    parts = deque(ordered[at : at + CALLS_PER_PART] for at in range(0, len(ordered), CALLS_PER_PART))
    asked: dict[asyncio.Task[set[int]], Sequence[Call]] = {}
    silent_looks = 0
    try:
        while (parts or asked) and silent_looks < SILENT_LOOKS:
            while parts and len(asked) < PARTS_AT_ONCE:
                part = parts.popleft()
                asked[asyncio.create_task(_taken_back(layer, part))] = part
            done, _ = await asyncio.wait(asked, timeout=LOOK_INTERVAL, return_when=asyncio.FIRST_COMPLETED)
            silent_looks = 0 if done else silent_looks + 1
            for task in done:
                settle(asked.pop(task), task.result())
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    for task, part in asked.items():
        # An answer may have come at the last moment.
        settle(part, set() if task.cancelled() else task.result())
    for part in parts:
        settle(part, set())


async def _taken_back(layer: Layer, part: Sequence[Call]) -> set[int]:
    try:
        return set(map(id, await layer.withdraw(*part)))
    except Exception:
        logger.exception("requests to %s could not be withdrawn", part[0].channel)
        return set()
