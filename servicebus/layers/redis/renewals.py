"""Sends registrations and subscriptions, and sends one that was refused again at once, not at the next heartbeat."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

import hiredis

from .connection.connection import Connection, pack
from .connection.outage_report import log_line
from .sending.pipeline import Pipeline
from .topology.primaries import Nodes

FIRST_REPEAT = 0.05
"""Seconds before a registration that was refused is sent again: a slot that moves is elsewhere by then. Doubled."""

logger = logging.getLogger(__name__)

Command = tuple[bytes | str | int, ...]
Wanted = Callable[[], Command | None]
"""The command of a registration or subscription, None when it has ended meanwhile."""


class Renewals:
    """Sends what a server may lose. It belongs to one event loop.

    Args:
        nodes: the servers.
        every: seconds between two heartbeats. The next one sends everything again, so no repetition outlives it.

    Attributes:
        stopped: nothing is sent again any more.
    """

    def __init__(self, nodes: Nodes, every: float) -> None:
        self._nodes = nodes
        self._every = every
        self._loop = asyncio.get_running_loop()
        self.stopped = False

    def send(self, name: str, wanted: Wanted, pause: float = FIRST_REPEAT) -> None:
        """Send a command for a channel or group now, and again after ``pause`` seconds if it is refused."""
        command = None if self.stopped else wanted()
        if command is None:
            return
        pipeline = self._nodes.pipeline(name)
        if pipeline is None:
            self._send_later(name, wanted, pause)
        else:
            pipeline.write(pack(command), partial(self._answered, pipeline, name, wanted, pause))

    def send_on(self, connection: Connection, pipeline: Pipeline, name: str, wanted: Wanted) -> None:
        """Send a command on a new connection of ``pipeline``, ahead of everything that waits for it."""
        command = wanted()
        if command is not None:
            connection.write(pack(command), partial(self._answered, pipeline, name, wanted, FIRST_REPEAT))

    def _answered(self, pipeline: Pipeline, name: str, wanted: Wanted, pause: float, reply: object) -> None:
        if not isinstance(reply, Exception):
            return
        # A connection that is missing reports itself.
        if isinstance(reply, hiredis.ReplyError):
            text = f"cannot renew registrations or subscriptions: {reply}"
            log_line(logger, pipeline.link.locator.report.refused(text, self._loop.time()))
        pipeline.on_heartbeat_refused(reply)
        self._send_later(name, wanted, pause)

    def _send_later(self, name: str, wanted: Wanted, pause: float) -> None:
        # The pauses until then are almost as long as twice the last one, together.
        if 2 * pause <= self._every and not self.stopped:
            self._loop.call_later(pause, self.send, name, wanted, 2 * pause)
