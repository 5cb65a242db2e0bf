"""What a Redis layer keeps alive: connections, registrations, subscriptions, and the reading of the server's clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from ...foundation import running_time
from ..limits import Limits
from .connection.connection import Connection, pack
from .receiving.receiver import Receiver
from .renewals import Command, Renewals
from .schema.keys import Keys
from .schema.scripts import REGISTER
from .sending.pipeline import Pipeline
from .topology.primaries import Nodes

CHECK_INTERVAL = 0.25
"""Seconds between looks at connections: a dead one is noticed at most so much later than it could be."""
HEARTBEATS_PER_TTL = 3
"""Heartbeats while a registration holds, so that one may be lost."""

logger = logging.getLogger(__name__)


class Maintenance:
    """Repeats what a server may lose, and drops connections that are dead. It belongs to one event loop.

    Attributes:
        receivers: the readers of this layer; those that have stopped are removed at the next check.
        subscriptions: group and channel of each subscription, once for each time that it was added.
    """

    def __init__(self, nodes: Nodes, keys: Keys, limits: Limits) -> None:
        self._nodes = nodes
        self._keys = keys
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._running = running_time.of_running_loop()
        self.receivers: list[Receiver] = []
        self.subscriptions: list[tuple[str, str]] = []
        self._every = min(limits.presence_ttl, limits.expiry) / HEARTBEATS_PER_TTL
        self._renewals = Renewals(nodes, self._every)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Check and repeat from now on."""
        self._task = self._loop.create_task(self._run(), name="maintain the redis layer")
        self._running.start()
        self._running.subscribe(self._resumed)

    async def stop(self) -> None:
        """Check and repeat no more. Idempotent. Cancelling is safe: the task is cancelled already."""
        task, self._task = self._task, None
        self._renewals.stopped = True
        if task is not None:
            self._running.unsubscribe(self._resumed)
            self._running.stop()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def subscription(self, group: str, channel: str) -> Command:
        """The command that adds a channel to a group, or keeps it there."""
        return REGISTER.command((self._keys.group(group),), channel, int(self._limits.expiry * 1000))

    def connected(self, pipeline: Pipeline, connection: Connection) -> None:
        """A restarted server has lost the subscriptions: repeat them before anything is published."""
        for group, channel in self.subscriptions:
            if self._nodes.pipeline(group) is pipeline:
                self._renewals.send_on(connection, pipeline, group, partial(self._wanted, group, channel))

    def wake_receivers(self) -> None:
        """Let readers that wait for a connection to answer on look again."""
        for receiver in self.receivers:
            receiver.wake()

    async def _run(self) -> None:
        every = self._every
        due = self._loop.time() + every
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            self._running.after_reading(self._check)
            # By the clock and not by counting intervals: a loop that stalls has fewer of them.
            if self._loop.time() >= due:
                due = self._loop.time() + every
                self._heartbeat()

    def _check(self) -> None:
        """Look for servers that are silent. What they have said until now was read before."""
        if self._task is None:
            return
        _guarded(self._nodes.check_health)
        self.receivers = [receiver for receiver in self.receivers if not receiver.stopped]
        for receiver in self.receivers:
            _guarded(receiver.check_silence)

    def _resumed(self, stood_still: float) -> None:
        """This process stood still for so many seconds: its registrations may end soon, or have ended."""
        self._heartbeat()

    def _heartbeat(self) -> None:
        """Send everything at once and wait for no answer: on a slow link the answers take their time."""
        _guarded(self._ask_time)
        for receiver in self.receivers:
            _guarded(partial(self._renewals.send, receiver.channel, receiver.registration.wanted))
        for group, channel in self.subscriptions:
            _guarded(partial(self._renewals.send, group, partial(self._wanted, group, channel)))

    def _wanted(self, group: str, channel: str) -> Command | None:
        return self.subscription(group, channel) if (group, channel) in self.subscriptions else None

    def _ask_time(self) -> None:
        asked = self._loop.time()

        def answer(reply: Any) -> None:
            if isinstance(reply, list):
                self._nodes.clock.sample(asked * 1000, self._loop.time() * 1000, reply)

        self._nodes.ask_time(pack((b"TIME",)), answer)


def _guarded(work: Callable[[], None]) -> None:
    """Do a part of a heartbeat. What it raises is a fault of this program, and must not end the other parts."""
    try:
        work()
    except Exception:
        logger.exception("a part of a heartbeat failed: it is tried again at the next one")
