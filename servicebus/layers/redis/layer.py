"""The Redis layer: what the bus pushes and consumes, on one server, behind Sentinels, or on a Cluster.

Delivery guarantee: at most once, FIFO per channel and sender, capacity exact, nothing delivered after its expiry. A
frame is lost when the connection breaks, or the process dies, between the pop and the handler; it is never delivered
twice.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any

from ...errors import SendUnknown
from ...foundation import running_time
from ...foundation.repeated_log import RepeatedLog
from ...protocol.codec import Restamp, restamped
from ...protocol.credit import Budget
from ..delivery import Delivery
from ..layer import Ability, Sink
from ..limits import Limits
from .connection.connection import Connection
from .maintenance import Maintenance
from .members import UnexpectedAnswer, channels_in, workers_in
from .receiving.receiver import Receiver
from .receiving.registration import Registration
from .schema.keys import Keys
from .schema.scripts import LEAVE, MEMBERS
from .sending.pipeline import Pipeline
from .sending.push_commands import Routes
from .sending.withdrawal import Withdrawal
from .topology.cluster import ClusterNodes
from .topology.primaries import Nodes, OneNode, OnUp
from .topology.target import ClusterTarget, Target

logger = logging.getLogger(__name__)


def nodes_for(
    target: Target, name: str, keys: Keys, routes: Routes, on_up: OnUp, kind: type[Connection], restamp: Restamp
) -> Nodes:
    """The primaries of a target, not yet connected."""
    if isinstance(target, ClusterTarget):
        return ClusterNodes(target, name, keys, routes, on_up, kind, restamp)
    return OneNode(target, name, routes, on_up, kind, restamp)


class RedisLayer:
    """The connections of a bus. See ``Layer``.

    ``push`` and ``fence_of`` are set by ``open``: they are methods of the nodes, without a step between.

    Args:
        target: the server, or the servers of a Cluster.
        prefix: of every key.
        limits: capacity and expiry.
        name: of the connections, as the server lists them.
        restamp: gives a frame that was never sent the fence of another primary.
        connection_kind: the class of the connections that commands are sent on.
        on_connected: called with each new connection, before anything is sent on it.

    Attributes:
        keys: the names of keys under the prefix.
        nodes: the primaries, once the layer is open.
    """

    abilities = frozenset(Ability)
    nodes: Nodes
    push: Callable[[Delivery], None]
    fence_of: Callable[[str], int]
    _maintenance: Maintenance
    _withdrawal: Withdrawal

    def __init__(
        self,
        target: Target,
        prefix: str,
        limits: Limits,
        name: str = "servicebus",
        restamp: Restamp = restamped,
        *,
        connection_kind: type[Connection] = Connection,
        on_connected: OnUp | None = None,
    ) -> None:
        self._target = target
        self.limits = limits
        self._restamp = restamp
        self._connection_kind = connection_kind
        self._on_connected = on_connected
        self._name = f"{name}-{os.getpid()}"
        self.keys = Keys(prefix)
        self._log = RepeatedLog(logger)
        self._presence_ms = int(limits.presence_ttl * 1000)

    def now_ms(self) -> int:
        return int(self._clock() * 1000 + self.server_clock.offset_ms)

    async def open(self) -> None:
        self._clock = asyncio.get_running_loop().time
        routes = Routes(self.keys, self.limits)
        self.nodes = nodes_for(
            self._target, self._name, self.keys, routes, self._up, self._connection_kind, self._restamp
        )
        self.server_clock = self.nodes.clock
        self.push, self.fence_of = self.nodes.push, self.nodes.fence_of
        self._maintenance = Maintenance(self.nodes, self.keys, self.limits)
        self._withdrawal = Withdrawal(self.nodes, self.keys, self.limits)
        await self.nodes.open()
        self._maintenance.start()

    async def close(self) -> None:
        await asyncio.gather(*(receiver.stop() for receiver in self._maintenance.receivers))
        await self.nodes.close()
        await self._maintenance.stop()

    async def withdraw(self, *deliveries: Delivery) -> list[Delivery]:
        return await self._withdrawal.withdraw(deliveries)

    def consume(self, channel: str, sink: Sink, credit: Budget, *, worker_id: str = "") -> Receiver:
        name = f"{self._name}-{channel}"
        registration = Registration(self.keys, channel, worker_id, self._presence_ms)
        receiver = Receiver(self.nodes, name, self.keys, channel, sink, credit, registration)
        self._maintenance.receivers.append(receiver)
        return receiver

    async def leave(self, channel: str, worker_id: str) -> None:
        left = [
            receiver.registration
            for receiver in self._maintenance.receivers
            if receiver.registration.worker_id == worker_id and receiver.channel == channel
        ]
        for registration in left:
            registration.end()
        try:
            async with running_time.timeout(self.limits.timing.max_outage):
                await asyncio.gather(*(registration.settled() for registration in left))
                await self.nodes.execute(channel, *LEAVE.command((self.keys.workers(channel),), worker_id))
        except TimeoutError as error:
            # Do not block a shutdown: the registration expires anyway.
            raise SendUnknown(channel, "too much time passed") from error

    async def workers(self, channel: str) -> int:
        return len(await self.worker_ids(channel))

    async def worker_ids(self, channel: str) -> list[str]:
        return await self._members(channel, self.keys.workers(channel), workers_in)

    async def subscribe(self, group: str, channel: str) -> None:
        self._maintenance.subscriptions.append((group, channel))
        await self.nodes.execute(group, *self._maintenance.subscription(group, channel))

    def unsubscribe(self, group: str, channel: str) -> None:
        self._maintenance.subscriptions.remove((group, channel))

    async def subscribers(self, group: str) -> list[str]:
        return await self._members(group, self.keys.group(group), channels_in)

    def _up(self, pipeline: Pipeline, connection: Connection) -> None:
        self._maintenance.connected(pipeline, connection)
        if self._on_connected is not None:
            self._on_connected(pipeline, connection)
        self._maintenance.wake_receivers()

    async def _members(self, name: str, key: bytes, read: Callable[[Any], tuple[list[str], int]]) -> list[str]:
        answer = await self.nodes.execute(name, *MEMBERS.command((key,)))
        try:
            names, others = read(answer)
        except UnexpectedAnswer as error:
            if (pipeline := self.nodes.pipeline(name)) is not None:
                pipeline.abort()
            raise SendUnknown(name, "the connection got out of step") from error
        if others:
            self._log.warning("%s: %d members are ignored, which are too many or have no legal name", name, others)
        return names
