"""The clock of a hub, which is given to it, so that tests choose the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """One clock for all who share a hub. It never jumps, also when somebody sets the clock of the machine.

    Attributes:
        monotonic: returns seconds from a fixed instant, which is not known.
        epoch_ms: that instant, in milliseconds since 1970.
    """

    monotonic: Callable[[], float]
    epoch_ms: float

    @classmethod
    def of_process(cls) -> Clock:
        """Return the clock of this process, which shows the right time of day now."""
        return cls(time.monotonic, (time.time() - time.monotonic()) * 1000)
