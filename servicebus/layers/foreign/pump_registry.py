"""Which channels this process receives from, so that two buses on one foreign layer share a pump."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from .receiver import Pump
from .timing import ForeignTiming

Pumps = dict[tuple[asyncio.AbstractEventLoop, str], Pump]
"""The pumps of one foreign layer, by event loop and channel. An entry is set and removed by its loop's thread alone."""


class PumpRegistry:
    """The running pumps by foreign layer, event loop and channel. Thread-safe.

    A pump enters when its first reader comes, and leaves when it ends. A layer that nobody else refers to is forgotten
    with its entry.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._pumps: MutableMapping[Any, Pumps] = WeakKeyDictionary()

    def pump(self, foreign: Any, channel: str, timing: ForeignTiming) -> Pump:
        """Return the pump for ``channel`` on the running event loop. It is made on first use, with that timing."""
        pumps = self._of(foreign)
        key = (asyncio.get_running_loop(), channel)
        pump = pumps.get(key)
        if pump is None:
            pump = pumps[key] = Pump(foreign, channel, timing, lambda: pumps.pop(key, None))
        return pump

    def workers(self, foreign: Any, channel: str) -> int:
        """Return how many readers of ``channel`` in this process count as workers."""
        found = [pump for (_, name), pump in list(self._of(foreign).items()) if name == channel]
        return sum(bool(reader.worker_id) for pump in found for reader in pump.readers)

    def _of(self, foreign: Any) -> Pumps:
        with self._lock:
            return self._pumps.setdefault(foreign, {})


PUMPS = PumpRegistry()
"""The pumps of this process, which owns them all: two receives of one process on one channel must never run at once."""
