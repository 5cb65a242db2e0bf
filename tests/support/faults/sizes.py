"""How much of everything: one size for each run of the suite, a larger one for a long run.

A long run is asked for with ``SERVICEBUS_SOAK=1``, as ``make soak`` does. ``SERVICEBUS_SOAK_COUNT`` and
``SERVICEBUS_SOAK_SECONDS`` say how many calls and seconds a row of it may take at most.
"""

from __future__ import annotations

import os

SOAK = os.environ.get("SERVICEBUS_SOAK", "") not in ("", "0")


def sized(suite: int, soak: int) -> int:
    """How many calls, kills or whatever a row is about."""
    most = int(os.environ.get("SERVICEBUS_SOAK_COUNT") or soak)
    return max(suite, min(soak, most)) if SOAK else suite


def lasting(suite: float, soak: float) -> float:
    """For how many seconds."""
    most = float(os.environ.get("SERVICEBUS_SOAK_SECONDS") or soak)
    return max(suite, min(soak, most)) if SOAK else suite
