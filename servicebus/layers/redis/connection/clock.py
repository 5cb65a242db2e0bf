"""The server's clock, as far as it can be told from here."""

from __future__ import annotations

SLACK_MS = 1.0
"""Milliseconds by which a round trip may be longer than twice the best one: the jitter of a loaded event loop."""


class ServerClock:
    """``offset_ms`` added to the loop's clock, in milliseconds, is the server's: wrong by half a round trip at most.

    A sample with a long round trip says little, so it only counts when the ones before it were no better; what counts
    as good is relaxed with every sample that is not, so that a link that became slow is believed in the end.
    """

    def __init__(self) -> None:
        self.offset_ms = 0.0
        self._best_ms = 0.0

    def start(self, offset_ms: float) -> None:
        """A new connection measured this."""
        self.offset_ms, self._best_ms = offset_ms, 0.0

    def sample(self, asked_ms: float, heard_ms: float, time: list[bytes]) -> None:
        """The server's TIME, asked for and heard of at these instants of the loop's clock."""
        round_trip = heard_ms - asked_ms
        if self._best_ms and round_trip > 2 * self._best_ms + SLACK_MS:
            self._best_ms *= 2
            return
        self._best_ms = round_trip
        self.offset_ms = int(time[0]) * 1000 + int(time[1]) / 1000 - (asked_ms + heard_ms) / 2
