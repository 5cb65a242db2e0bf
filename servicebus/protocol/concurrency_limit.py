"""How many messages a worker had best hold at once, found from how long it takes with them: a state machine.

The rule is the gradient of Netflix's concurrency-limits (github.com/Netflix/concurrency-limits, Gradient2Limit): the
limit shrinks as latency grows beyond what it is without a queue, and there is always room for a queue of its square
root. What latency is without a queue is measured, as BBR does (draft-ietf-ccwg-bbr, ProbeRTT): after a time with a
queue the limit is lowered for a moment to look. An average over the past would take a queue that stands for normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

from ..errors import ConfigurationError

WINDOW = 0.1
FEWEST = 10
"""A window lasts for so many seconds and messages, at least, and for one message of each place."""
PROBE_AFTER = 10.0
"""Seconds with a queue after which the latency without one is measured again."""
PROBE_PART = 0.25
"""Of the limit, while that is done: it lets a queue of the kind that this rule leaves run dry."""
STEEPEST = 0.5
TOWARDS = 0.3
"""Of the way that the latency without a queue goes to a lower one at a time: a window may just have been lucky."""


@dataclass(frozen=True, slots=True)
class Adaptive:
    """What a worker takes for a queue, and how far it goes then.

    Attributes:
        least: messages that it holds at once however long they take. The most is its concurrency.
        tolerance: how many times as long as without a queue they may take.
        slack: seconds longer that they may take in any case: short ones wait for the event loop and nothing else.
    """

    least: int = 1
    tolerance: float = 2.0
    slack: float = 0.005

    def __post_init__(self) -> None:
        if isinstance(self.least, bool) or not isinstance(self.least, int) or self.least < 1:
            raise ConfigurationError(f"least is {self.least!r}: a whole number of messages, 1 or more")
        if not 1.0 < self.tolerance < inf:
            raise ConfigurationError(f"tolerance is {self.tolerance!r}: how many times as long, more than 1")
        if not 0.0 <= self.slack < inf:
            raise ConfigurationError(f"slack is {self.slack!r}: seconds, 0 or more")


class Limiter:
    """Fed with what each message took, in order of the instants at which they were done. Times are in seconds.

    Attributes:
        limit: messages to hold at once, from ``least`` to ``most``.
    """

    __slots__ = (
        "_base", "_began", "_clear_at", "_config", "_count", "_exact", "_least",
        "_most", "_peak", "_probing", "_starting", "_total", "limit",
    )  # fmt: skip

    def __init__(self, config: Adaptive, most: int) -> None:
        self._config, self._least, self._most = config, min(config.least, most), most
        self._exact, self.limit = float(self._least), self._least
        self._base = inf  # what messages take without a queue
        self._starting, self._probing = True, False
        self._clear_at = -inf
        self._began, self._count, self._total, self._peak = -inf, 0, 0.0, 0

    def took(self, latency: float, in_flight: int, now: float) -> int:
        """Note that a message was done ``latency`` seconds after it had come as one of ``in_flight``; the limit now."""
        came = now - latency
        if self._began == -inf:
            self._began = came
        if came >= self._began:  # the others came under another limit
            self._count, self._total = self._count + 1, self._total + latency
            self._peak = max(self._peak, in_flight)
            if self._count >= max(FEWEST, self.limit) and now - self._began >= WINDOW:
                self._judge(self._total / self._count, now)
                self._open_window(now)
        return self.limit

    def _open_window(self, began: float) -> None:
        self._began, self._count, self._total, self._peak = began, 0, 0.0, 0

    def _judge(self, mean: float, now: float) -> None:
        if self._probing:
            self._probing, self._base, self._clear_at = False, mean, now
            self._set(self._exact)
            return
        self._base = mean if self._base == inf else self._base + min(0.0, TOWARDS * (mean - self._base))
        fine = max(self._base * self._config.tolerance, self._base + self._config.slack)
        if mean <= fine:
            self._clear_at = now
        # A limit that is not reached is neither good nor bad.
        if 2 * self._peak >= self.limit:
            self._steer(fine / mean if mean > fine else 1.0, now)

    def _steer(self, gradient: float, now: float) -> None:
        self._starting = self._starting and gradient == 1.0
        if self._starting:
            self._move(2 * self._exact)
        elif now - self._clear_at > PROBE_AFTER:
            self._probing = True
            self._set(self._exact * PROBE_PART)
        else:
            self._move(self._exact * max(STEEPEST, gradient) + sqrt(self._exact))

    def _move(self, to: float) -> None:
        self._exact = min(max(to, self._least), self._most)
        self._set(self._exact)

    def _set(self, limit: float) -> None:
        self.limit = max(self._least, int(limit))
