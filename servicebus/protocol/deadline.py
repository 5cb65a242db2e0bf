"""Timeouts become deadlines here, once. Instants are milliseconds on the server's clock."""

from __future__ import annotations

import math

from ..errors import ConfigurationError

MAX_TIMEOUT = 86_400.0
"""Seconds: a day. A longer timeout is most likely a mistake in the unit."""


def deadline_of(now_ms: int, timeout: float, outer_ms: int) -> int:
    """The instant ``timeout`` seconds from now, but no later than the outer deadline (0: there is none).

    Raises:
        ConfigurationError: ``timeout`` is not above 0 and at most 86400.
    """
    if type(timeout) is not float or not 0 < timeout <= MAX_TIMEOUT:  # a usual timeout costs no call
        check_timeout(timeout)
    deadline = now_ms + math.ceil(timeout * 1000)
    return min(deadline, outer_ms) if outer_ms else deadline


def check_timeout(timeout: float) -> None:
    """Check the timeout of a call.

    Raises:
        ConfigurationError: ``timeout`` is not above 0 and at most 86400.
    """
    try:
        legal = 0 < timeout <= MAX_TIMEOUT
    except TypeError:
        legal = False
    if not legal:
        raise ConfigurationError(f"timeout is {timeout!r}: give seconds, more than 0 and at most {MAX_TIMEOUT:.0f}")
