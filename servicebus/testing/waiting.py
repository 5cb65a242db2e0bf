"""Waiting for something to become true, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY = 0.005


def wait_until(true: Callable[[], bool], within: float, what: str) -> float:
    """Block until ``true()``; how long that took, in seconds. Raises TimeoutError, which says ``what`` was not so."""
    started = time.monotonic()
    while not true():
        if time.monotonic() - started > within:
            raise TimeoutError(f"not so within {within:.1f} s: {what}")
        time.sleep(EVERY)
    return time.monotonic() - started
