"""Keeps one connection alive: opens it, opens it again when it is lost, with a backoff that starts at milliseconds."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from ....errors import ConfigurationError, Unavailable
from ....foundation.text import as_text
from ..topology.locator import Locator
from .connection import Connection
from .handshake import connect
from .outage_report import log_line

FIRST_DELAY = 0.01
"""Seconds before the second attempt; doubled for each further one. A restarted server is found in a moment."""
MAX_DELAY_SHARE = 0.2
"""Share of the time for an attempt that the longest delay has. Where a server may be replaced, both are short."""

logger = logging.getLogger(__name__)


class ReconnectingConnection:
    """A connection that is opened again when it is lost.

    Args:
        locator: the way to the server; asked before every attempt.
        name: of the connection, as the server lists it.
        on_up: called with every new connection.
        on_promoted: called with the connection when its server was promoted anew under it.
        on_down: called when the connection was lost.
        on_failed: called with the error of an attempt that failed.
        on_writable: called when the connection can take more again.
        kind: the class of the connection.

    Attributes:
        connection: the connection, None while there is none.
        leaving: the connection that ``leave`` was called for last. Nothing should be asked for on it.
    """

    def __init__(
        self,
        locator: Locator,
        name: str,
        *,
        on_up: Callable[[Connection], None],
        on_promoted: Callable[[Connection], None] = lambda connection: None,
        on_down: Callable[[], None] = lambda: None,
        on_failed: Callable[[Unavailable], None] = lambda error: None,
        on_writable: Callable[[], None] = lambda: None,
        kind: type[Connection] = Connection,
    ) -> None:
        self.locator = locator
        self._name = name
        self._on_up = on_up
        self._on_promoted = on_promoted
        self._on_down = on_down
        self._on_failed = on_failed
        self._on_writable = on_writable
        self._kind = kind
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.connection: Connection | None = None
        self.leaving: Connection | None = None

    async def open(self) -> None:
        """Open the first connection. Raises as ``connect``. Cancelling is safe."""
        await self._connect()

    def start(self) -> None:
        """Connect in the background, for as long as it takes."""
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._keep_trying(), name=f"reconnect {self._name}")

    async def close(self) -> None:
        """End the connection and every attempt to replace it. Idempotent.

        Cancelling is safe, but may leave the connection open: close again.
        """
        self._closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        connection, self.connection = self.connection, None
        self.locator.report.forget(self, self._now())
        if connection is not None:
            connection.abort()

    def leave(self, connection: Connection, after: float) -> None:
        """Drop a connection that is of no use, ``after`` seconds from now. A second call for it does nothing."""
        if connection is not self.leaving:
            self.leaving = connection
            asyncio.get_running_loop().call_later(after, connection.abort)

    async def _connect(self) -> None:
        address, within = await self.locator.find(), self.locator.connect_within
        connection = await connect(address, self._name, self._lost, self._on_writable, within, self._kind)
        if self._closed:
            connection.abort()
            raise Unavailable("the link was closed")
        self.connection = connection
        connection.on_promoted = self._on_promoted
        try:
            self._on_up(connection)
        except Exception as error:
            self.connection = None  # so that its loss does not start a second attempt
            connection.abort()
            self._on_down()
            raise Unavailable(f"a new connection to {address} could not be put to use: {as_text(error)}") from error
        log_line(logger, self.locator.report.connected(self, address, self._now()))

    def _lost(self) -> None:
        # Also called for a connection that never got through its greeting: that one is not ours to replace.
        if self.connection is None:
            return
        self.connection = None
        log_line(logger, self.locator.report.lost(self, self.locator, self._now()))
        try:
            self.locator.invalidate()
            self._on_down()
        finally:
            self.start()

    async def _keep_trying(self) -> None:
        delay = FIRST_DELAY
        while not self._closed:
            failure = await self._attempt()
            if failure is None:
                break
            log_line(logger, self.locator.report.failed(self, failure, self._now()))
            self.locator.invalidate()
            self._on_failed(failure)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, MAX_DELAY_SHARE * self.locator.connect_within)
        self._task = None
        if self.connection is None:
            self.start()

    async def _attempt(self) -> Unavailable | None:
        """Connect once. Returns why that failed; whatever it was, another attempt follows."""
        try:
            await self._connect()
        except Unavailable as error:
            return error
        except ConfigurationError as error:
            return Unavailable(str(error), retryable=False)
        except Exception as error:
            failure = Unavailable(f"an attempt to connect to {self.locator} failed: {as_text(error)}")
            if (line := self.locator.report.refused(str(failure), self._now())) is not None:
                logger.error("%s", line.text, exc_info=error)
            return failure
        return None

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
