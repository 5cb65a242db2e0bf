"""Waiting, with a bound, until a condition is true."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_INTERVAL = 0.005
"""Seconds between two checks: short beside what is waited for, long beside the cost of a check."""


def wait_until(is_true: Callable[[], bool], within: float, what: str) -> float:
    """Block until a condition is true.

    Args:
        is_true: the condition; checked every 5 ms.
        within: seconds after which to give up.
        what: the condition in words, for the error.

    Returns:
        The seconds that the condition took.

    Raises:
        TimeoutError: the condition was not true in time.
    """
    started = time.monotonic()
    while not is_true():
        if time.monotonic() - started > within:
            raise TimeoutError(f"not true within {within:.1f} s: {what}")
        time.sleep(POLL_INTERVAL)
    return time.monotonic() - started
