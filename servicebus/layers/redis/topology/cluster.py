"""The primaries of a Cluster: a pipeline to each, and frames that follow their slot when it moves.

Each script touches one slot. What becomes of frames whose slot moves is decided in ``parking``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from redis.crc import key_slot

from ....errors import Overloaded, Unavailable
from ....foundation.memo import MAX_ENTRIES
from ....foundation.tasks import TaskSet
from ....protocol.codec import Restamp, restamped
from ...delivery import Delivery
from ...layer import Sink
from ..connection.clock import ServerClock
from ..connection.connection import Connection, Greeting, NeverSent
from ..schema.keys import Keys
from ..sending.pipeline import (
    Pipeline,
)
from ..sending.push_commands import Routes
from ..sending.verdicts import Redirected
from .address import Address
from .locator import HURRIED_CONNECT_WITHIN, Fixed, Locator
from .migrated_frames import adopted, runs
from .parking import Decision, Parked, Parking
from .primaries import SUSPECT_AFTER, OnUp
from .slot_map import SlotMap, SlotOwner
from .target import ClusterTarget

RETRY_INTERVAL = 0.05
"""Seconds between looks at the slots while frames or commands wait for one: a slot moves in about that time."""
PING = b"*1\r\n$4\r\nPING\r\n"
"""A packed command whose answer comes behind the answers to everything that was sent before it."""


class ClusterNodes:
    """See ``Nodes``. Frames for a slot without a primary wait ``max_outage`` seconds at most."""

    def __init__(
        self,
        target: ClusterTarget,
        name: str,
        keys: Keys,
        routes: Routes,
        on_up: OnUp,
        kind: type[Connection] = Connection,
        restamp: Restamp = restamped,
    ) -> None:
        self.clock = ServerClock()
        self._kind = kind
        self._restamp = restamp
        self._target = target
        self._name = name
        self._keys = keys
        self._routes = routes
        self._on_up = on_up
        self._loop = asyncio.get_running_loop()
        self._slots = SlotMap(target, self._remapped)
        self._pipelines: dict[Address, Pipeline] = {}
        # The pipelines of the names used last, under the slots of now.
        self._known: dict[str, Pipeline] = {}
        self._parking = Parking(routes.limits.timing.max_outage, routes.limits.max_waiting_bytes)
        # Runs while anything is parked.
        self._unparking: asyncio.Task[None] | None = None
        # Pipelines to nodes that are primaries no more, being closed.
        self._closing = TaskSet()
        # The clock was started, from the node whose clock counts or from another.
        self._has_clock = False
        self._closed = False

    async def open(self) -> None:
        try:
            await self._slots.read()
            pipelines = self.pipelines()
            outcomes = await asyncio.gather(*(one.link.open() for one in pipelines), return_exceptions=True)
            failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            for failure in failures:
                if len(failures) == len(pipelines) or not isinstance(failure, Unavailable):
                    raise failure
            if not pipelines:
                raise Unavailable(f"{self._target} has no slots yet")
        except BaseException:
            await self.close()
            raise
        for pipeline in pipelines:
            if pipeline.link.connection is None:
                pipeline.start()

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(self._slots.close(), *(one.close() for one in self.pipelines()), self._closing.join())
        if self._unparking is not None:
            self._unparking.cancel()
            await asyncio.gather(self._unparking, return_exceptions=True)
        self._pipelines.clear()
        for delivery in self._parking.end_all():
            delivery.settle(_closed())

    def pipelines(self) -> list[Pipeline]:
        return list(self._pipelines.values())

    def pipeline(self, name: str) -> Pipeline | None:
        table = self._known  # from any thread: what is found in these slots must not get into the table of others
        known = table.get(name)
        if known is None:
            owner = self._slots.owner(self._slot(name))
            known = None if owner is None else self._pipelines.get(owner)
            if known is not None:
                if len(table) >= MAX_ENTRIES:
                    table.clear()
                table[name] = known
        return known

    def direct(self, name: str) -> Pipeline | None:
        return None if name in self._parking else self.pipeline(name)

    def locator(self, name: str) -> Locator:
        return SlotOwner(self._slots, self._slot(name))

    def fence_of(self, name: str) -> int:
        pipeline = self.pipeline(name)
        return pipeline.fence if pipeline is not None else 0

    def adopted(self, frames: list[bytes], greeting: Greeting) -> list[bytes]:
        return adopted(frames, greeting, self._is_primary)

    def deliver(self, frames: list[bytes], greeting: Greeting, sink: Sink) -> None:
        for run, fence in runs(frames, greeting, self._is_primary):
            sink(run, fence)

    def push(self, delivery: Delivery) -> None:
        waiting = self._parking.get(delivery.channel) if self._parking else None
        pipeline = self.pipeline(delivery.channel) if waiting is None else None
        if pipeline is not None:
            pipeline.push(delivery)
        elif self._closed:
            delivery.settle(_closed())
        elif self._parking.is_full:
            delivery.settle(Overloaded(delivery.channel, f"{self._parking.max_bytes} bytes wait for their slots"))
        else:
            (waiting or self._park(delivery.channel, None)).add(delivery)

    def remove(self, delivery: Delivery) -> bool:
        waiting = self._parking.get(delivery.channel)
        if waiting is not None and waiting.remove(delivery):
            return True
        pipeline = self.pipeline(delivery.channel)
        return pipeline is not None and pipeline.remove(delivery)

    async def execute(self, name: str, *command: bytes | str | int) -> Any:
        give_up = self._loop.time() + self._routes.limits.timing.max_outage
        while True:
            pipeline = self.pipeline(name)
            try:
                if pipeline is None:
                    raise Redirected(f"no primary of the cluster holds the slot of {name!r}")
                return await pipeline.execute(*command, name=name)
            except Redirected:
                if self._loop.time() > give_up:
                    raise
            self._slots.invalidate()
            await asyncio.sleep(RETRY_INTERVAL)

    def write(self, name: str, data: bytes, answer: Callable[[Any], None]) -> None:
        pipeline = self.pipeline(name)
        if pipeline is None:
            answer(NeverSent())
        else:
            pipeline.write(data, answer)

    def ask_time(self, data: bytes, answer: Callable[[Any], None]) -> None:
        pipeline = self._clock_pipeline()
        if pipeline is not None:
            pipeline.write(data, answer)

    def check_health(self) -> None:
        for pipeline in self.pipelines():
            pipeline.check_silence()
            if pipeline.silent_for > SUSPECT_AFTER:
                self._slots.invalidate()

    def _is_primary(self, fence: int) -> bool:
        return any(one.fence == fence and one.link.connection is not None for one in self.pipelines())

    def _slot(self, name: str) -> int:
        return key_slot(self._keys.messages(name))

    def _clock_pipeline(self) -> Pipeline | None:
        """All participants go by the clock of the one that holds the first slot: nodes may differ."""
        owner = self._slots.owner(0)
        return None if owner is None else self._pipelines.get(owner)

    def _remapped(self) -> None:
        """Slots have moved, or primaries were replaced: what has not left yet goes to where it belongs now."""
        known, self._known = self._known, {}
        primaries = self._slots.primaries
        for address in primaries - self._pipelines.keys():
            pipeline = self._pipelines[address] = self._new(address)
            if self._slots.readings > 1:
                pipeline.start()
        gone = [self._pipelines.pop(address) for address in self._pipelines.keys() - primaries]
        for channel, pipeline in list(known.items()):
            # Frames that the old node has not answered yet may come back, and then go before what is sent now.
            if self.pipeline(channel) is not pipeline and channel not in self._parking:
                self._park(channel, pipeline)
        for pipeline in gone:
            for delivery in pipeline.take_unsent():
                self._send_again(delivery)
            if pipeline.silent_for > SUSPECT_AFTER:
                pipeline.abort()  # the node hangs, and would hold up channels that have a primary again
            self._closing.spawn(pipeline.close())

    def _new(self, address: Address) -> Pipeline:
        locator = Fixed(address, HURRIED_CONNECT_WITHIN, self._slots.invalidate)
        return Pipeline(locator, self._name, self._routes, self._up, self._redirected, self._kind, self._restamp)

    def _up(self, pipeline: Pipeline, connection: Connection) -> None:
        # Until there is a connection to the node whose clock counts, that of another is the best there is.
        if pipeline is self._clock_pipeline() or not self._has_clock:
            self._has_clock = True
            self.clock.start(connection.greeting.offset_ms)
        self._on_up(pipeline, connection)

    def _redirected(self, pipeline: Pipeline, channel: str, deliveries: list[Delivery]) -> None:
        if self._closed:
            for delivery in deliveries:
                delivery.settle(_closed())
            return
        waiting = self._parking.get(channel) or self._park(channel, pipeline)
        waiting.add_back(deliveries)

    def _park(self, channel: str, pipeline: Pipeline | None) -> Parked:
        """Let everything for ``channel`` wait until ``pipeline`` has answered what is on its way there."""
        waiting = self._parking.park(channel, self._loop.time())

        def answered(_: object) -> None:
            waiting.answered = True

        if pipeline is None:
            waiting.answered = True
        else:
            for delivery in pipeline.take_unsent(channel):
                waiting.add(delivery)
            pipeline.write(PING, answered)
        if self._unparking is None:
            self._unparking = self._loop.create_task(self._unpark_all(), name="unpark frames")
        return waiting

    async def _unpark_all(self) -> None:
        while self._parking:
            self._slots.invalidate()
            await asyncio.sleep(RETRY_INTERVAL)
            for channel in self._parking.channels():
                self._unpark(channel)
        self._unparking = None

    def _unpark(self, channel: str) -> None:
        """Do what is decided about a parked channel."""
        pipeline = self.pipeline(channel)
        match self._parking.decide(channel, self._loop.time(), has_primary=pipeline is not None):
            case Decision.RELEASE if pipeline is not None:
                for delivery in self._parking.end(channel):
                    self._send_again(delivery)
                pipeline.write(PING, partial(self._answered, channel))
            case Decision.REFUSE:
                _refuse(channel, self._parking.end(channel))
            case Decision.REFUSE_AND_WAIT:
                waiting = self._parking.get(channel)
                _refuse(channel, waiting.take() if waiting is not None else [])

    def _answered(self, channel: str, reply: object) -> None:
        """What was sent again had its answer before this one, and did not come back."""
        if not isinstance(reply, Exception):
            self._parking.settled(channel)

    def _send_again(self, delivery: Delivery) -> None:
        delivery.frame = self._restamp(delivery.frame, self.fence_of(delivery.channel), delivery.channel)
        self.push(delivery)


def _refuse(channel: str, deliveries: list[Delivery]) -> None:
    error = Unavailable(f"no primary of the cluster takes {channel!r} at present")
    for delivery in deliveries:
        delivery.settle(error)


def _closed() -> Unavailable:
    return Unavailable("the bus was closed before the message was sent")
