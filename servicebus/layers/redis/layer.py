"""The Redis layer: what the bus pushes and consumes, on one server, behind Sentinels, or on a Cluster.

Delivery guarantee: at most once, FIFO per channel and sender, capacity exact, nothing delivered after its expiry. A
frame is lost when the connection breaks, or the process dies, between the pop and the handler; it is never delivered
twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Any

from ...errors import SendUnknown, ServiceBusError
from ...protocol.codec import MAX_FRAME, Restamp, decode_raw, restamped
from ...protocol.credit import Budget
from ..delivery import Delivery
from ..layer import Ability, Sink
from ..limits import Limits
from .connection.connection import Connection, pack
from .receiving.receiver import Receiver
from .schema.keys import Keys
from .schema.scripts import (
    LEAVE,
    MEMBERS,
    REGISTER,
    WITHDRAW,
)
from .sending.pipeline import Pipeline
from .sending.push_commands import Routes
from .topology.cluster import ClusterNodes
from .topology.primaries import Nodes, OneNode, OnUp
from .topology.target import ClusterTarget, Target

TICK = 0.25
WITHDRAWN_AT_ONCE = 1000


class RedisLayer:
    """A bus's connections. See ``Layer`` for the contract of each method.

    ``push`` and ``fence_of`` are there once it is open: they are those of its nodes, for the shortest way.

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

    nodes: Nodes

    abilities = frozenset(Ability)
    push: Callable[[Delivery], None]
    fence_of: Callable[[str], int]

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
        self._target, self.limits, self._restamp = target, limits, restamp
        self._connection_kind, self._on_connected = connection_kind, on_connected
        self._name = f"{name}-{os.getpid()}"
        self.keys = Keys(prefix)
        self._presence_ms = int(limits.presence_ttl * 1000)
        self._routes = Routes(self.keys, limits)
        self._receivers: list[Receiver] = []
        self._subscriptions: list[tuple[str, str]] = []
        self._tending: asyncio.Task[None] | None = None

    def now_ms(self) -> int:
        return int(self._clock() * 1000 + self.server_clock.offset_ms)

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self.nodes = self._make_nodes()
        self.server_clock = self.nodes.clock
        self.push, self.fence_of = self.nodes.push, self.nodes.fence_of
        await self.nodes.open()
        self._tending = loop.create_task(self._maintain(), name="tend the redis layer")

    async def close(self) -> None:
        await asyncio.gather(*(receiver.stop() for receiver in self._receivers))
        await self.nodes.close()
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)

    async def withdraw(self, *deliveries: Delivery) -> list[Delivery]:
        taken_back: list[Delivery] = []
        sent: list[Delivery] = []
        for delivery in deliveries:
            (taken_back if self.nodes.remove(delivery) else sent).append(delivery)
        with contextlib.suppress(ServiceBusError):
            for channel in {delivery.channel for delivery in sent}:
                mine = [delivery for delivery in sent if delivery.channel == channel and self._is_current(delivery)]
                for at in range(0, len(mine), WITHDRAWN_AT_ONCE):
                    taken_back += await self._removed(channel, mine[at : at + WITHDRAWN_AT_ONCE])
        return taken_back

    def _is_current(self, delivery: Delivery) -> bool:
        """After a failover a list may hold again what the old primary had handed out: removing that proves nothing."""
        return decode_raw(delivery.frame, MAX_FRAME).fence == self.fence_of(delivery.channel)

    async def _removed(self, channel: str, deliveries: list[Delivery]) -> list[Delivery]:
        frames = (delivery.frame for delivery in deliveries)
        key = self.keys.messages(channel)
        removed = await self.nodes.execute(channel, *WITHDRAW.command((key,), *frames))
        return [delivery for delivery, gone in zip(deliveries, removed, strict=True) if gone]

    def consume(self, channel: str, sink: Sink, credit: Budget, *, worker_id: str = "") -> Receiver:
        name = f"{self._name}-{channel}"
        receiver = Receiver(self.nodes, name, self.keys, channel, sink, credit, worker_id, self._presence_ms)
        self._receivers.append(receiver)
        return receiver

    async def leave(self, channel: str, worker_id: str) -> None:
        for receiver in self._receivers:
            if receiver.worker_id == worker_id and receiver.channel == channel:
                receiver.worker_id = ""
        try:
            async with asyncio.timeout(self.limits.timing.max_outage):
                await self.nodes.execute(channel, *LEAVE.command((self.keys.workers(channel),), worker_id))
        except TimeoutError as error:
            # Who leaves has others to take leave of: the registration ends by itself.
            raise SendUnknown(channel, "too long a time passed") from error

    async def workers(self, channel: str) -> int:
        return len(await self._members(channel, self.keys.workers(channel)))

    async def worker_ids(self, channel: str) -> list[str]:
        return [member.decode() for member in await self._members(channel, self.keys.workers(channel))]

    async def subscribe(self, group: str, channel: str) -> None:
        self._subscriptions.append((group, channel))
        await self.nodes.execute(group, *self._subscription(group, channel))

    def unsubscribe(self, group: str, channel: str) -> None:
        self._subscriptions.remove((group, channel))

    async def subscribers(self, group: str) -> list[str]:
        return sorted(member.decode() for member in await self._members(group, self.keys.group(group)))

    def _subscription(self, group: str, channel: str) -> tuple[bytes | str | int, ...]:
        return REGISTER.command((self.keys.group(group),), channel, int(self.limits.expiry * 1000))

    def _make_nodes(self) -> Nodes:
        if isinstance(self._target, ClusterTarget):
            return ClusterNodes(
                self._target, self._name, self.keys, self._routes, self._up, self._connection_kind, self._restamp
            )
        return OneNode(self._target, self._name, self._routes, self._up, self._connection_kind, self._restamp)

    def _up(self, pipeline: Pipeline, connection: Connection) -> None:
        """A server that was restarted has forgotten who subscribed: tell it before anything is published."""
        for group, channel in self._subscriptions:
            if self.nodes.pipeline(group) is pipeline:
                connection.write(pack(self._subscription(group, channel)), pipeline.on_heartbeat_reply)
        if self._on_connected is not None:
            self._on_connected(pipeline, connection)
        for receiver in self._receivers:
            receiver.wake()

    async def _members(self, name: str, key: bytes) -> list[bytes]:
        members: list[bytes] = await self.nodes.execute(name, *MEMBERS.command((key,)))
        return members

    async def _maintain(self) -> None:
        """Watch for dead links four times a second; keep registrations, subscriptions and the clock fresh."""
        every = min(self.limits.presence_ttl, self.limits.expiry) / 3
        due = self._clock() + every
        while True:
            await asyncio.sleep(TICK)
            self.nodes.check_health()
            self._receivers = [receiver for receiver in self._receivers if not receiver.stopped]
            for receiver in self._receivers:
                receiver.check_silence()
            # By the clock, not by counting ticks: a loop that stalls has fewer of them.
            if self._clock() >= due:
                due = self._clock() + every
                self._heartbeat()

    def _heartbeat(self) -> None:
        """Say everything in one go and wait for nothing: on a slow link the answers come when they come."""
        self._ask_time()
        for receiver in self._receivers:
            if receiver.worker_id:
                self._say_again(receiver.channel, receiver.register())
        for group, channel in self._subscriptions:
            self._say_again(group, self._subscription(group, channel))

    def _say_again(self, name: str, command: tuple[bytes | str | int, ...]) -> None:
        pipeline = self.nodes.pipeline(name)
        if pipeline is not None:
            pipeline.write(pack(command), pipeline.on_heartbeat_reply)

    def _ask_time(self) -> None:
        asked = self._clock()

        def answer(reply: Any) -> None:
            if isinstance(reply, list):
                self.server_clock.sample(asked * 1000, self._clock() * 1000, reply)

        self.nodes.ask_time(pack((b"TIME",)), answer)
