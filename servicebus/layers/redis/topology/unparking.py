"""Holds back the frames of channels whose slot moves, and sends them to the primary that takes them.

What becomes of a channel is decided in ``parking``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ....errors import Overloaded, Unavailable
from ....foundation import running_time
from ....protocol.codec import Restamp
from ...delivery import Delivery
from ...limits import Limits
from ..sending.pipeline import Pipeline
from .parking import Decision, Parked, Parking

RETRY_INTERVAL = 0.05
"""Seconds between looks at the slots while frames or commands wait for one: a slot moves in about that time."""


class Unparking:
    """The parked channels of a Cluster. While there are any, a task looks where their slots are.

    Args:
        limits: how long frames may wait, and how many bytes of them.
        primary_of: the pipeline to the primary that has the slot of a channel, None while there is none.
        read_slots: reads again, soon, which primary has which slot.
        restamp: gives a frame the fence of another primary.

    Attributes:
        parked: the parked channels, and their frames. For reading, from any thread.
    """

    def __init__(
        self,
        limits: Limits,
        primary_of: Callable[[str], Pipeline | None],
        read_slots: Callable[[], None],
        restamp: Restamp,
    ) -> None:
        self._primary_of = primary_of
        self._read_slots = read_slots
        self._restamp = restamp
        self._loop = asyncio.get_running_loop()
        # Frames do not wait longer because this process stood still.
        self._now = running_time.of_running_loop().time
        self._parking = Parking(limits.timing.max_outage, limits.max_waiting_bytes)
        self.parked: Mapping[str, Parked] = self._parking.parked
        # Looks where the slots are; done when nothing is parked.
        self._looking: asyncio.Task[None] | None = None
        # From then on nothing is parked any more.
        self._closed = False

    def refuse_from_now_on(self) -> None:
        """Refuse what comes from now on. What is parked already may still be sent, until ``close``."""
        self._closed = True

    async def close(self) -> None:
        """Refuse what is parked, and what comes from now on. Idempotent. Cancelling is safe: call it again."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        for delivery in self._parking.end_all():
            delivery.settle(_closed())

    def add(self, delivery: Delivery) -> None:
        """Park a frame that was sent just now: its channel is parked, or its slot has no primary."""
        if self._closed:
            delivery.settle(_closed())
        elif self._parking.is_full:
            delivery.settle(Overloaded(delivery.channel, f"{self._parking.max_bytes} bytes wait for their slots"))
        else:
            (self.parked.get(delivery.channel) or self.park(delivery.channel, None)).add(delivery)

    def add_back(self, pipeline: Pipeline, channel: str, deliveries: list[Delivery]) -> None:
        """Park frames that the server at the end of ``pipeline`` did not take, in their order."""
        if self._closed:
            for delivery in deliveries:
                delivery.settle(_closed())
        else:
            (self.parked.get(channel) or self.park(channel, pipeline)).add_back(deliveries)

    def remove(self, channel: str, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Take frames of one channel out. Returns those that were here and had not left."""
        waiting = self.parked.get(channel)
        if waiting is None:
            return []
        removed, trial, primary = waiting.remove(deliveries), waiting.trial, self._primary_of(channel)
        if trial is not None and primary is not None and any(delivery is trial for delivery in deliveries):
            ahead = primary.remove([trial])
            if ahead:
                waiting.trial = None
                removed += ahead
        return removed

    def park(self, channel: str, pipeline: Pipeline | None) -> Parked:
        """Let everything for ``channel`` wait until ``pipeline`` has answered what is on its way there."""
        waiting = self._parking.park(channel, self._now())
        if pipeline is None:
            waiting.answered = True
        else:
            for delivery in pipeline.take_unsent(channel):
                waiting.add(delivery)
            pipeline.when_answered(partial(_answered, waiting))
        if self._looking is None or self._looking.done():
            self._looking = self._loop.create_task(self._keep_looking(), name="unpark frames")
        return waiting

    def look(self) -> None:
        """Do what is decided about each parked channel. Called every ``RETRY_INTERVAL`` seconds."""
        for channel in list(self.parked):
            self._unpark(channel)

    async def _keep_looking(self) -> None:
        while self.parked:
            self._read_slots()
            await asyncio.sleep(RETRY_INTERVAL)
            self.look()

    def _unpark(self, channel: str) -> None:
        """Do what is decided about a parked channel."""
        primary = self._primary_of(channel)
        match self._parking.decide(channel, self._now(), primary):
            case Decision.TRY if primary is not None:
                self._try(channel, self.parked[channel], primary)
            case Decision.RELEASE if primary is not None:
                for delivery in self._parking.end(channel):
                    self._send(primary, delivery)
                primary.when_answered(partial(self._parking.settled, channel))
            case Decision.REFUSE:
                _refuse(channel, self._parking.end(channel))
            case Decision.REFUSE_AND_WAIT:
                _refuse(channel, self.parked[channel].take())

    def _try(self, channel: str, waiting: Parked, primary: Pipeline) -> None:
        """Send the oldest frame ahead. When it was taken the others follow at once."""

        def ended() -> None:
            # Without a connection the frame was not sent.
            waiting.add_back(primary.take_unsent(channel))
            waiting.trial_ended(primary)
            if self.parked.get(channel) is waiting and waiting.taken_by is primary:
                self._unpark(channel)

        self._send(primary, waiting.take_trial())
        primary.when_answered(ended)

    def _send(self, primary: Pipeline, delivery: Delivery) -> None:
        delivery.frame = self._restamp(delivery.frame, primary.fence, delivery.channel)
        primary.push(delivery)


def _answered(waiting: Parked) -> None:
    waiting.answered = True


def _refuse(channel: str, deliveries: list[Delivery]) -> None:
    error = Unavailable(f"no primary of the cluster takes {channel!r} at present")
    for delivery in deliveries:
        delivery.settle(error)


def _closed() -> Unavailable:
    return Unavailable("the bus was closed before the message was sent")
