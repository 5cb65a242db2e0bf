"""The log lines of a gateway: outages and mistakes, which an operator should see, and not every request."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import ChannelFull, NoWorkers, RemoteError, Unavailable, UnknownOperation
from ..foundation.repeat_filter import RepeatFilter
from .exposure import Target
from .problems import row_of

LOGGED_STATUSES = (500, 502)
"""HTTP statuses that are logged as warnings: something inside is wrong, and the answer does not show it."""
REPEAT_INTERVAL = 60.0
"""Seconds in which an operation that no worker knows is logged once: outsiders may ask for it all the time."""
MAX_UNKNOWN = 100
"""Such operations that are remembered. When a whole service is exposed, outsiders may ask for any name."""
ANSWERS = (ChannelFull, NoWorkers, RemoteError, UnknownOperation)
"""Errors that show that the server answered."""

logger = logging.getLogger(__name__)


class RequestLog:
    """Writes the log of one gateway, and remembers what it has reported.

    Args:
        clock: seconds of a monotonic clock; tests give their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._unavailable: set[str] = set()
        """The channels, or "the server", that were reported unavailable."""
        self._unknown: RepeatFilter[Target] = RepeatFilter(REPEAT_INTERVAL, MAX_UNKNOWN)

    @contextmanager
    def outages_of(self, name: str) -> Iterator[None]:
        """Log once when ``name`` becomes unavailable inside the block, and once when it is available again.

        Each channel has an outage of its own, because the server may refuse one channel and not another.
        """
        try:
            yield
        except Unavailable as error:
            if name not in self._unavailable:
                self._unavailable.add(name)
                logger.warning("%s is unavailable: %s", name, error)
            raise
        except ANSWERS:
            self._available(name)
            raise
        self._available(name)

    @contextmanager
    def call_of(self, target: Target) -> Iterator[None]:
        """Log outages of the target's channel, and an exposed operation that no worker knows."""
        try:
            with self.outages_of(target.channel):
                yield
        except UnknownOperation as error:
            if self._unknown.lets_through(target, self._clock()):
                logger.warning("%s.%s is exposed, but: %s", target.service, target.operation, error)
            raise

    def failed(self, error: Exception, correlation_id: str) -> None:
        """Log a request that failed, in more detail than the client sees.

        Nothing that the client sent is logged except its correlation ID.
        """
        row = row_of(error)
        if row.code == "gateway_failed":
            logger.error("the gateway failed (correlation ID %s)", correlation_id, exc_info=error)
        elif row.status in LOGGED_STATUSES:
            logger.warning("%d %s (correlation ID %s)", row.status, error, correlation_id)
        else:
            logger.debug("%d %s (correlation ID %s)", row.status, error, correlation_id)

    def _available(self, name: str) -> None:
        if name in self._unavailable:
            self._unavailable.remove(name)
            logger.warning("%s is available again", name)
