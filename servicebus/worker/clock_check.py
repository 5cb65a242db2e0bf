"""Whether the wall clock of a worker's machine agrees with the server's clock. No clock: instants are given."""

from __future__ import annotations

TOLERANCE_MS = 5000
"""Milliseconds by which the clocks may differ: more than a bad network or a machine that stood still brings about."""
LOOKS_UNTIL_CERTAIN = 5
"""Looks in a row that must agree: the server's clock is an estimate, which is wrong for a while after a standstill."""


class ClockCheck:
    """Says when a wall clock has become wrong, and when it is right again, each once.

    The bus does not read the wall clock, but the handlers of a worker may, and so do logs and certificates.
    """

    def __init__(self) -> None:
        self._is_wrong = False
        # Looks in a row that found the opposite of ``_is_wrong``.
        self._differing = 0

    def look(self, wall_ms: float, server_ms: float) -> str | None:
        """Compare the clocks.

        Args:
            wall_ms: the wall clock of this machine, in milliseconds since 1970.
            server_ms: the server's clock at the same instant.

        Returns:
            What to log, None for nothing new.
        """
        ahead = wall_ms - server_ms
        if (abs(ahead) > TOLERANCE_MS) is self._is_wrong:
            self._differing = 0
            return None
        self._differing += 1
        if self._differing < LOOKS_UNTIL_CERTAIN:
            return None
        self._is_wrong, self._differing = not self._is_wrong, 0
        if not self._is_wrong:
            return "the clock of this machine agrees with the server's again"
        side = "ahead of" if ahead > 0 else "behind"
        return f"the clock of this machine is {abs(ahead) / 1000:.0f} s {side} the server's: set it by NTP"
