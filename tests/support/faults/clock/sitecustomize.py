"""Python imports this by itself, where its directory is on the path: the process has a wall clock of its own.

``SERVICEBUS_TEST_CLOCK`` says how many seconds that is fast; with SIGUSR2 it jumps by as many again, backwards.
"""

from __future__ import annotations

import datetime
import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

BY = float(os.environ["SERVICEBUS_TEST_CLOCK"])
ahead = BY


def jump(number: int, frame: FrameType | None) -> None:
    global ahead
    ahead -= 2 * BY


def shifted(clock: Callable[..., Any], unit: int) -> Callable[..., Any]:
    return lambda *arguments: clock(*arguments) + int(ahead * unit)


def shifted_at(clock: Callable[..., Any]) -> Callable[..., Any]:
    """``clock_gettime``, of which the other clocks stay as they are."""
    unit = 10**9 if clock.__name__.endswith("ns") else 1
    return lambda which: clock(which) + (int(ahead * unit) if which == time.CLOCK_REALTIME else 0)


class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Shifted:
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Shifted:
        return cls.now(datetime.UTC).replace(tzinfo=None)


time.time, time.time_ns = shifted(time.time, 1), shifted(time.time_ns, 10**9)
time.clock_gettime, time.clock_gettime_ns = shifted_at(time.clock_gettime), shifted_at(time.clock_gettime_ns)
datetime.datetime = Shifted  # type: ignore[misc]
signal.signal(signal.SIGUSR2, jump)
