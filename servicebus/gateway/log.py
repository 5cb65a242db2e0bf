"""What the log of a gateway has of its requests: what is for the operator to look at, and not each of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import ChannelFull, NoWorkers, RemoteError, Unavailable, UnknownOperation
from .exposure import Target
from .problems import row_of

WORTH_A_LOOK = (500, 502)
SAME_AGAIN = 60.0
"""Seconds in which an operation that no worker knows is named once."""
MOST_UNKNOWN = 100
"""Such operations that are remembered. Of a service that is exposed as a whole, outsiders may ask for any."""
ANSWERS = (ChannelFull, NoWorkers, RemoteError, UnknownOperation)
"""Errors that the server was there for."""

logger = logging.getLogger(__name__)


class Notes:
    """What one gateway has said already."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._unavailable: set[str] = set()
        self._unknown: dict[Target, float] = {}

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Say once when ``what`` becomes unavailable, and once when it no longer is.

        Each channel is told apart: the server may refuse one and let another pass.
        """
        try:
            yield
        except Unavailable as error:
            if what not in self._unavailable:
                self._unavailable.add(what)
                logger.warning("%s is unavailable: %s", what, error)
            raise
        except ANSWERS:
            self._available(what)
            raise
        self._available(what)

    @contextmanager
    def calling(self, target: Target) -> Iterator[None]:
        """``asking`` for its channel, and say so when no worker knows an operation that is exposed."""
        try:
            with self.asking(target.channel):
                yield
        except UnknownOperation as error:
            if self._is_news(target, self._clock()):
                logger.warning("%s.%s is exposed, but: %s", target.service, target.operation, error)
            raise

    def failed(self, error: Exception, correlation_id: str) -> None:
        """Whose business it is to look: the client is told less. What it sent is in its correlation ID alone."""
        row = row_of(error)
        if row.code == "gateway_failed":
            logger.error("the gateway failed (correlation ID %s)", correlation_id, exc_info=error)
        elif row.status in WORTH_A_LOOK:
            logger.warning("%d %s (correlation ID %s)", row.status, error, correlation_id)
        else:
            logger.debug("%d %s (correlation ID %s)", row.status, error, correlation_id)

    def _available(self, what: str) -> None:
        if what in self._unavailable:
            self._unavailable.remove(what)
            logger.warning("%s is available again", what)

    def _is_news(self, target: Target, now: float) -> bool:
        if target in self._unknown and now - self._unknown[target] < SAME_AGAIN:
            return False
        if len(self._unknown) >= MOST_UNKNOWN:
            self._unknown = {known: at for known, at in self._unknown.items() if now - at < SAME_AGAIN}
        if len(self._unknown) >= MOST_UNKNOWN:
            return False
        self._unknown[target] = now
        return True
