"""The primaries of a Cluster: a pipeline to each, and frames that follow their slot when it moves.

Each script touches one slot. A frame that a node did not take, because its slot has moved or is moving, was certainly
not pushed: it is parked, and with it everything that is sent to its channel meanwhile, until the slots have been read
again and all that went to the old node has been answered. So order is kept, and nothing is sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from redis.crc import key_slot

from ....errors import Overloaded, ServiceBusError, Unavailable
from ....foundation.memo import MAX_ENTRIES
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
from .primaries import IN_DOUBT, OnUp
from .slot_map import SlotMap, SlotOwner
from .target import ClusterTarget

RETRY = 0.05
PING = b"*1\r\n$4\r\nPING\r\n"


class Parked:
    """Frames of one channel that wait for its slot: ``back`` from a node that did not take them, ``new`` since then."""

    __slots__ = ("answered", "back", "new", "since", "size")

    def __init__(self, since: float) -> None:
        self.since, self.size = since, 0
        self.answered = False
        self.back: list[Delivery] = []
        self.new: list[Delivery] = []

    def add(self, delivery: Delivery) -> None:
        """One that was sent just now."""
        self.new.append(delivery)
        self.size += len(delivery.frame)

    def add_back(self, deliveries: list[Delivery]) -> None:
        """Some that came back."""
        self.back += deliveries
        self.size += sum(len(delivery.frame) for delivery in deliveries)

    def clear(self) -> None:
        """Nothing waits any more."""
        self.back, self.new, self.size = [], [], 0

    def deliveries(self) -> list[Delivery]:
        """All, in the order in which they were sent."""
        return self.back + self.new


class ClusterNodes:
    """See ``Nodes``. Frames for a slot that nobody serves wait ``max_outage`` seconds at most."""

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
        self.clock, self._kind, self._restamp = ServerClock(), kind, restamp
        self._target, self._name, self._keys, self._routes, self._on_up = target, name, keys, routes, on_up
        self._max_outage = routes.limits.timing.max_outage
        self._max_waiting_bytes = routes.limits.max_waiting_bytes
        self._loop = asyncio.get_running_loop()
        self._slots = SlotMap(target, self._remapped)
        self._pipelines: dict[Address, Pipeline] = {}
        self._known: dict[str, Pipeline] = {}
        self._parked: dict[str, Parked] = {}
        self._trouble: dict[str, float] = {}
        self._unparking: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._has_clock = self._closed = False

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
        await asyncio.gather(self._slots.close(), *(one.close() for one in self.pipelines()), *self._closing)
        if self._unparking is not None:
            self._unparking.cancel()
            await asyncio.gather(self._unparking, return_exceptions=True)
        self._pipelines.clear()
        parked, self._parked = self._parked, {}
        for waiting in parked.values():
            _refuse(waiting, _closed())

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
        return None if name in self._parked else self.pipeline(name)

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
        waiting = self._parked.get(delivery.channel) if self._parked else None
        pipeline = self.pipeline(delivery.channel) if waiting is None else None
        if pipeline is not None:
            pipeline.push(delivery)
        elif self._closed:
            delivery.settle(_closed())
        elif sum(one.size for one in self._parked.values()) >= self._max_waiting_bytes:
            delivery.settle(Overloaded(delivery.channel, f"{self._max_waiting_bytes} bytes wait for their slots"))
        else:
            (waiting or self._park(delivery.channel, None)).add(delivery)

    def remove(self, delivery: Delivery) -> bool:
        waiting = self._parked.get(delivery.channel)
        if waiting is not None:
            for deliveries in (waiting.back, waiting.new):
                if delivery in deliveries:
                    deliveries.remove(delivery)
                    waiting.size -= len(delivery.frame)
                    return True
        pipeline = self.pipeline(delivery.channel)
        return pipeline is not None and pipeline.remove(delivery)

    async def execute(self, name: str, *command: bytes | str | int) -> Any:
        give_up = self._loop.time() + self._max_outage
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
            await asyncio.sleep(RETRY)

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
            if pipeline.silent_for > IN_DOUBT:
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
            # What its old node has not answered yet may come back, and goes before what is sent now.
            if self.pipeline(channel) is not pipeline and channel not in self._parked:
                self._park(channel, pipeline)
        for pipeline in gone:
            for delivery in pipeline.take_unsent():
                self._send_again(delivery)
            if pipeline.silent_for > IN_DOUBT:
                pipeline.abort()  # it hangs: waiting for its answers would hold up what has a primary again
            self._own(pipeline.close())

    def _new(self, address: Address) -> Pipeline:
        locator = Fixed(address, HURRIED_CONNECT_WITHIN, self._slots.invalidate)
        return Pipeline(locator, self._name, self._routes, self._up, self._redirected, self._kind, self._restamp)

    def _up(self, pipeline: Pipeline, connection: Connection) -> None:
        # Until there is a connection to the node whose clock counts, that of another is the best there is.
        if pipeline is self._clock_pipeline() or not self._has_clock:
            self._has_clock = True
            self.clock.start(connection.greeting.offset_ms)
        self._on_up(pipeline, connection)

    def _own(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _redirected(self, pipeline: Pipeline, channel: str, deliveries: list[Delivery]) -> None:
        if self._closed:
            for delivery in deliveries:
                delivery.settle(_closed())
            return
        waiting = self._parked.get(channel) or self._park(channel, pipeline)
        waiting.add_back(deliveries)

    def _park(self, channel: str, pipeline: Pipeline | None) -> Parked:
        """From now on everything for ``channel`` waits, until what is on its way in ``pipeline`` has been answered."""
        waiting = self._parked[channel] = Parked(self._in_trouble_since(channel))

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

    def _in_trouble_since(self, channel: str) -> float:
        """Nodes may send a frame from one to the other: its wait is that of its channel, all in all."""
        now = self._loop.time()
        if len(self._trouble) >= MAX_ENTRIES or now - self._trouble.get(channel, now) > 2 * self._max_outage:
            self._trouble = {
                name: since for name, since in self._trouble.items() if now - since <= 2 * self._max_outage
            }
        return self._trouble.setdefault(channel, now)

    async def _unpark_all(self) -> None:
        while self._parked:
            self._slots.invalidate()
            await asyncio.sleep(RETRY)
            for channel, waiting in list(self._parked.items()):
                self._unpark(channel, waiting)
        self._unparking = None

    def _unpark(self, channel: str, waiting: Parked) -> None:
        if self._loop.time() - waiting.since > self._max_outage:
            # While its old node owes answers the channel stays parked, or what is sent next could be overtaken.
            if waiting.answered:
                del self._parked[channel]
            _refuse(waiting, Unavailable(f"no primary of the cluster takes {channel!r} at present"))
        elif not waiting.answered:
            return
        elif (pipeline := self.pipeline(channel)) is not None:
            del self._parked[channel]
            for delivery in waiting.deliveries():
                self._send_again(delivery)
            pipeline.write(PING, partial(self._answered, channel))

    def _answered(self, channel: str, reply: object) -> None:
        """What was sent again had its answer before this one. If it did not come back, the next move is a new one."""
        if channel not in self._parked and not isinstance(reply, Exception):
            self._trouble.pop(channel, None)

    def _send_again(self, delivery: Delivery) -> None:
        delivery.frame = self._restamp(delivery.frame, self.fence_of(delivery.channel), delivery.channel)
        self.push(delivery)


def _refuse(waiting: Parked, error: ServiceBusError) -> None:
    deliveries = waiting.deliveries()
    waiting.clear()
    for delivery in deliveries:
        delivery.settle(error)


def _closed() -> Unavailable:
    return Unavailable("the bus was closed before the message was sent")
