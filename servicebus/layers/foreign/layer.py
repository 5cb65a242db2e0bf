"""``AdapterLayer``: what the bus asks of a transport, done with what every Channels layer has."""

from __future__ import annotations

import asyncio
from typing import Any

from ...protocol.credit import Budget
from ..delivery import Delivery
from ..layer import Ability, Consumer, Sink
from ..limits import Limits
from .messages import Message, epoch_ms
from .outbox import GROUP, Outbox
from .presence import Probes
from .receiver import Reader, Station
from .reply_channels import Inbox, ReplyChannels
from .subscriptions import Subscriptions


class AdapterLayer:
    """A bus's view of a foreign channel layer. See ``Layer`` for the contract of each method.

    Capacity and expiry are the foreign layer's. It knows no workers, so that NoWorkers is never raised. Only what has
    not left this process can be withdrawn. Instants are on the clock of this machine.
    """

    abilities: frozenset[Ability] = frozenset()

    def __init__(self, foreign: Any, limits: Limits) -> None:
        self._foreign, self._expiry = foreign, limits.expiry
        self._station = Station.of(foreign)
        self._replies = ReplyChannels(foreign, self._say, limits.expiry)
        self._outbox = Outbox(foreign, self._replies)
        self._probes = Probes(self._replies, self._say)
        self._subscriptions = Subscriptions(foreign)
        self._consumers: list[Reader | Inbox] = []

    def fence_of(self, channel: str) -> int:
        """No primaries: 0."""
        return 0

    def now_ms(self) -> int:
        return epoch_ms()

    async def open(self) -> None:
        """At once: a foreign layer connects when it is used, and says only then that it cannot."""

    async def close(self) -> None:
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))
        await self._subscriptions.close()
        await self._probes.close()
        await self._outbox.close()

    def push(self, delivery: Delivery) -> None:
        self._outbox.push(delivery)

    async def withdraw(self, *deliveries: Delivery) -> list[Delivery]:
        taken_back = [delivery for delivery in deliveries if self._outbox.unpush(delivery)]
        for delivery in deliveries:
            self._replies.hurry(delivery)
        return taken_back

    def consume(self, channel: str, sink: Sink, credit: Budget, *, worker_id: str = "") -> Consumer:
        consumer: Reader | Inbox
        if channel.endswith("!"):
            consumer = self._replies.consume(channel, sink, credit)
        else:
            pump = self._station.pump(self._foreign, channel)
            consumer = Reader(pump, sink, credit, worker_id, int(self._expiry * 1000))
            pump.add(consumer)
        self._consumers = [known for known in self._consumers if not known.stopped] + [consumer]
        return consumer

    async def leave(self, channel: str, worker_id: str) -> None:
        for reader in self._consumers:
            if isinstance(reader, Reader) and (reader.channel, reader.worker_id) == (channel, worker_id):
                reader.worker_id = ""

    async def workers(self, channel: str) -> int:
        """The workers of this process; if it has none, 1 when anybody answers on ``channel``, else 0."""
        return self._station.workers(channel) or int(await self._probes.answered(channel))

    async def worker_ids(self, channel: str) -> list[str]:
        """None: nobody knows them, so that a cancelled call is withdrawn or runs to its end."""
        return []

    async def subscribe(self, group: str, channel: str) -> None:
        await self._subscriptions.add(group, channel)

    def unsubscribe(self, group: str, channel: str) -> None:
        self._subscriptions.remove(group, channel)

    async def subscribers(self, group: str) -> list[str]:
        """One name that stands for the whole group: what is pushed to it is sent to every member."""
        self._subscriptions.check()
        return [GROUP + group]

    async def _say(self, name: str, message: Message) -> None:
        await self._outbox.say(name, message)
