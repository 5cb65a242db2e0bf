"""The server's clock, estimated from round trips."""

from __future__ import annotations

SLACK_MS = 1.0
"""Milliseconds by which a round trip may be longer than twice the best one: the jitter of a loaded event loop."""


class ServerClock:
    """Estimates the server's clock. The estimate is wrong by half a round trip at most.

    A sample with a long round trip is inexact, so it is ignored when an earlier sample had a much shorter one. Each
    sample that is ignored doubles the round trip that is accepted, so that samples count again on a link that has
    become slow.

    Attributes:
        offset_ms: milliseconds that, added to the clock of the event loop in milliseconds, give the server's clock.
    """

    def __init__(self) -> None:
        self.offset_ms = 0.0
        # The round trip, in milliseconds, that new samples are compared with; 0 before the first sample.
        self._best_ms = 0.0

    def start(self, offset_ms: float) -> None:
        """Begin anew with the offset that a new connection has measured."""
        self.offset_ms = offset_ms
        self._best_ms = 0.0

    def sample(self, asked_ms: float, heard_ms: float, time: list[bytes]) -> None:
        """Take one reading of the server's clock.

        Args:
            asked_ms: the instant of the request, on the clock of the event loop, in milliseconds.
            heard_ms: the instant of the answer, on the same clock.
            time: the answer to TIME: seconds and microseconds.
        """
        round_trip = heard_ms - asked_ms
        if self._best_ms and round_trip > 2 * self._best_ms + SLACK_MS:
            self._best_ms *= 2
            return
        self._best_ms = round_trip
        self.offset_ms = int(time[0]) * 1000 + int(time[1]) / 1000 - (asked_ms + heard_ms) / 2
