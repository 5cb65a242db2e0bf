"""How many messages a worker should hold at once, found from how long messages take: a state machine.

The rule is the gradient of Netflix's concurrency-limits (github.com/Netflix/concurrency-limits, Gradient2Limit): the
limit shrinks as latency grows beyond what it is without a queue, and there is always room for a queue of its square
root. The latency without a queue is measured, as BBR does (draft-ietf-ccwg-bbr, ProbeRTT): after a time with a queue
the limit is lowered for a moment to look. An average over the past would take a standing queue for normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt

from ..errors import ConfigurationError

MIN_WINDOW = 0.1
"""Seconds that a window lasts at least, so that one burst does not decide."""
MIN_SAMPLES = 10
"""Messages in a window at least, so that one slow message does not decide. With a higher limit, one for each place."""
PROBE_AFTER = 10.0
"""Seconds with a queue after which the latency without a queue is measured again."""
PROBE_SHARE = 0.25
"""Share of the limit while probing: low enough for a queue of the kind that this rule leaves to run dry."""
MAX_DECREASE = 0.5
"""Smallest factor for the limit after one window: a single bad window must not stop the worker."""
BASE_SMOOTHING = 0.3
"""Share of the way that the base latency goes to a lower one after a window: the window may have been lucky."""


@dataclass(frozen=True, slots=True)
class Adaptive:
    """What a worker takes for a queue, and how far it lowers its limit then.

    Attributes:
        least: messages that it holds at once however long they take. The most is its concurrency.
        tolerance: how many times as long as without a queue messages may take.
        slack: seconds longer that they may take in any case: short messages wait for the event loop and nothing else.

    Raises:
        ConfigurationError: a value out of range; the text names it.
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


class _Window:
    """The messages that came under one limit.

    Attributes:
        began: the instant at which it began, in seconds; messages that came earlier do not count.
        count: messages that were done.
        total: seconds that they took, added up.
        peak: the most that were held at once.
    """

    __slots__ = ("began", "count", "peak", "total")

    def __init__(self, began: float) -> None:
        self.began = began
        self.count = 0
        self.total = 0.0
        self.peak = 0

    def add(self, latency: float, in_flight: int) -> None:
        self.count += 1
        self.total += latency
        self.peak = max(self.peak, in_flight)


class Limiter:
    """Fed with the time that each message took, in the order in which they were done. Times are in seconds.

    Attributes:
        limit: messages to hold at once, from ``least`` to ``most``.
    """

    __slots__ = (
        "_base",
        "_clear_at",
        "_config",
        "_exact",
        "_least",
        "_most",
        "_probing",
        "_starting",
        "_window",
        "limit",
    )

    def __init__(self, config: Adaptive, most: int) -> None:
        self._config = config
        self._least = min(config.least, most)
        self._most = most
        # The limit before it is rounded, and without the lowering of a probe.
        self._exact = float(self._least)
        self.limit = self._least
        # Seconds that messages take without a queue; infinite before the first window.
        self._base = inf
        # The limit still doubles with each window, as it does until the first queue.
        self._starting = True
        # The limit is lowered for one window to measure the base.
        self._probing = False
        # The last instant without a queue.
        self._clear_at = -inf
        self._window: _Window | None = None

    def observe(self, latency: float, in_flight: int, now: float) -> int:
        """Take a message that was done ``latency`` seconds after it came as one of ``in_flight``. Returns the limit."""
        came = now - latency
        window = self._window = self._window or _Window(came)
        if came >= window.began:  # the others came under another limit
            window.add(latency, in_flight)
            if window.count >= max(MIN_SAMPLES, self.limit) and now - window.began >= MIN_WINDOW:
                self._close_window(window, now)
                self._window = _Window(now)
        return self.limit

    def _close_window(self, window: _Window, now: float) -> None:
        mean = window.total / window.count
        if self._probing:
            self._probing = False
            self._base = mean
            self._clear_at = now
            self._set(self._exact)
            return
        self._base = mean if self._base == inf else self._base + min(0.0, BASE_SMOOTHING * (mean - self._base))
        acceptable = max(self._base * self._config.tolerance, self._base + self._config.slack)
        if mean <= acceptable:
            self._clear_at = now
        # A limit that was not reached is neither good nor bad.
        if 2 * window.peak >= self.limit:
            self._adjust(acceptable / mean if mean > acceptable else 1.0, now)

    def _adjust(self, gradient: float, now: float) -> None:
        self._starting = self._starting and gradient == 1.0
        if self._starting:
            self._move(2 * self._exact)
        elif now - self._clear_at > PROBE_AFTER:
            self._probing = True
            self._set(self._exact * PROBE_SHARE)
        else:
            self._move(self._exact * max(MAX_DECREASE, gradient) + sqrt(self._exact))

    def _move(self, to: float) -> None:
        self._exact = min(max(to, self._least), self._most)
        self._set(self._exact)

    def _set(self, limit: float) -> None:
        self.limit = max(self._least, int(limit))
