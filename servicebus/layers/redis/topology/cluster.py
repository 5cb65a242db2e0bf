"""The primaries of a Cluster: a pipeline to each, and frames that follow their slot when it moves.

Each script touches one slot. Frames whose slot moves are held back by ``unparking``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from ....foundation import running_time
from ....protocol.codec import Restamp, restamped
from ...delivery import Delivery
from ...layer import Sink
from ..connection.clock import ServerClock
from ..connection.connection import Connection, NeverSent
from ..connection.greeting import Greeting
from ..schema.keys import Keys
from ..sending.pipeline import Pipeline
from ..sending.push_commands import Routes
from ..sending.verdicts import Redirected
from .address import Address
from .cluster_pipelines import ClusterPipelines
from .locator import HURRIED_CONNECT_WITHIN, Fixed, Locator
from .migrated_frames import adopted, runs
from .primaries import SUSPECT_AFTER, OnUp
from .target import ClusterTarget
from .unparking import RETRY_INTERVAL, Unparking

CLOCK_SLOT = 0
"""The slot whose primary gives the time to all participants: the clocks of nodes may differ."""


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
        self._name = name
        self._routes = routes
        self._on_up = on_up
        self._pipelines = ClusterPipelines(target, keys, self._new, self._moved, routes.limits.timing.ask_within)
        self._slots = self._pipelines.slots
        self._unparking = Unparking(routes.limits, self._pipelines.of, self._slots.invalidate, restamp)
        self._parked = self._unparking.parked
        # The clock was started, from the node whose clock counts or from another.
        self._has_clock = False
        self.pipelines = self._pipelines.all
        self.pipeline = self._pipelines.of

    async def open(self) -> None:
        try:
            await self._pipelines.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        self._unparking.refuse_from_now_on()
        await self._pipelines.close()
        await self._unparking.close()

    def direct(self, name: str) -> Pipeline | None:
        return None if name in self._parked else self.pipeline(name)

    def locator(self, name: str) -> Locator:
        return self._pipelines.locator(name)

    def fence_of(self, name: str) -> int:
        pipeline = self.pipeline(name)
        return pipeline.fence if pipeline is not None else 0

    def adopted(self, frames: list[bytes], greeting: Greeting) -> list[bytes]:
        return adopted(frames, greeting, self._is_primary)

    def deliver(self, frames: list[bytes], greeting: Greeting, sink: Sink) -> None:
        for run, fence in runs(frames, greeting, self._is_primary):
            sink(run, fence)

    def push(self, delivery: Delivery) -> None:
        channel = delivery.channel
        pipeline = None if channel in self._parked else self.pipeline(channel)
        if pipeline is not None:
            pipeline.push(delivery)
        else:
            self._unparking.add(delivery)

    def remove(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        channel = deliveries[0].channel
        removed = self._unparking.remove(channel, deliveries)
        pipeline = self.pipeline(channel)
        return removed if pipeline is None else [*removed, *pipeline.remove(deliveries)]

    async def execute(self, name: str, *command: bytes | str | int) -> Any:
        running = running_time.of_running_loop()
        give_up = running.time() + self._routes.limits.timing.max_outage
        while True:
            pipeline = self.pipeline(name)
            try:
                if pipeline is None:
                    raise Redirected(f"no primary of the cluster holds the slot of {name!r}")
                return await pipeline.execute(*command, name=name)
            except Redirected:
                if running.time() > give_up:
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
        connections = (one.link.connection for one in self.pipelines())
        return any(one is not None and one.greeting.has_fence(fence) for one in connections)

    def _clock_pipeline(self) -> Pipeline | None:
        return self._pipelines.of_slot(CLOCK_SLOT)

    def _new(self, address: Address) -> Pipeline:
        locator = Fixed(address, HURRIED_CONNECT_WITHIN, self._slots.invalidate)
        return Pipeline(
            locator, self._name, self._routes, self._up, self._unparking.add_back, self._kind, self._restamp
        )

    def _up(self, pipeline: Pipeline, connection: Connection) -> None:
        # Until there is a connection to the node whose clock counts, that of another is the best there is.
        if pipeline is self._clock_pipeline() or not self._has_clock:
            self._has_clock = True
            self.clock.start(connection.greeting.offset_ms)
        self._on_up(pipeline, connection)

    def _moved(self, known: dict[str, Pipeline], gone: list[Pipeline]) -> None:
        """Slots have moved, or primaries were replaced: what has not left yet goes to where it belongs now."""
        for channel, pipeline in list(known.items()):
            # Frames that the old node has not answered yet may come back, and then go before what is sent now.
            if self.pipeline(channel) is not pipeline and channel not in self._parked:
                self._unparking.park(channel, pipeline)
        for pipeline in gone:
            for delivery in pipeline.take_unsent():
                if delivery.channel in self._parked:
                    self._unparking.add_back(pipeline, delivery.channel, [delivery])
                    continue
                delivery.frame = self._restamp(delivery.frame, self.fence_of(delivery.channel), delivery.channel)
                self.push(delivery)
            if pipeline.silent_for > SUSPECT_AFTER:
                pipeline.abort()  # the node hangs, and would hold up channels that have a primary again
