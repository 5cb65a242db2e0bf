"""``ForeignLayer``: what the bus asks of a transport, done with what every Channels layer has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ...protocol.credit import Budget
from ..delivery import Delivery
from ..layer import Ability, Consumer, Sink
from ..limits import Limits
from .messages import epoch_ms
from .outbox import GROUP, MAX_WAITING_BYTES, ForeignSender, Outbox
from .presence import Probes
from .pump_registry import PUMPS, PumpRegistry
from .receiver import Reader
from .reply_channels import Inbox, ReplyChannels
from .subscriptions import Subscriptions
from .timing import ForeignTiming

DEFAULT_TIMING = ForeignTiming()


class ForeignLayer:
    """A bus's view of a foreign channel layer. See ``Layer`` for the contract of each method.

    Capacity and expiry are the foreign layer's. It knows no workers, so NoWorkers is never raised. Only what has not
    left this process can be withdrawn. Instants are on the clock of this machine.

    Args:
        foreign: the layer, as ``CHANNEL_LAYERS`` makes it. It can be hashed, and referred to weakly.
        limits: only its ``expiry`` counts: for replies, and for messages between the foreign layer and their handler.
        timing: how long the waits take.
        now_ms: returns the time, in milliseconds since 1970.
        max_waiting_bytes: bytes of frames that may wait for the foreign layer.
        pumps: those of this process.
    """

    abilities: frozenset[Ability] = frozenset()

    def __init__(
        self,
        foreign: Any,
        limits: Limits,
        *,
        timing: ForeignTiming = DEFAULT_TIMING,
        now_ms: Callable[[], int] = epoch_ms,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        pumps: PumpRegistry = PUMPS,
    ) -> None:
        self._foreign = foreign
        self._expiry_ms = int(limits.expiry * 1000)
        self._timing = timing
        self._now_ms = now_ms
        self._pumps = pumps
        sender = ForeignSender(foreign, timing.send_within)
        self._replies = ReplyChannels(foreign, sender.send_now, limits.expiry, timing, now_ms)
        self._outbox = Outbox(sender, self._replies, timing, now_ms, max_waiting_bytes)
        self._probes = Probes(self._replies, sender.send_now, timing, now_ms)
        self._subscriptions = Subscriptions(foreign, timing)
        # The consumers of this bus that are not stopped, and some that are.
        self._consumers: list[Reader | Inbox] = []

    def fence_of(self, channel: str) -> int:
        return 0

    def now_ms(self) -> int:
        return self._now_ms()

    async def open(self) -> None:
        """Return at once: a foreign layer connects when it is used, and fails only then. Cancelling is safe."""

    async def close(self) -> None:
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))
        await self._subscriptions.close()
        await self._probes.close()
        await self._outbox.close()

    def push(self, delivery: Delivery) -> None:
        self._outbox.push(delivery)

    async def withdraw(self, *deliveries: Delivery) -> list[Delivery]:
        taken_back = [delivery for delivery in deliveries if self._outbox.remove(delivery)]
        for delivery in deliveries:
            self._replies.shorten(delivery)
        return taken_back

    def consume(self, channel: str, sink: Sink, credit: Budget, *, worker_id: str = "") -> Consumer:
        consumer: Reader | Inbox
        if channel.endswith("!"):
            consumer = self._replies.consume(channel, sink, credit)
        else:
            pump = self._pumps.pump(self._foreign, channel, self._timing)
            consumer = Reader(pump, sink, credit, worker_id, self._expires)
            pump.add(consumer)
        self._consumers = [known for known in self._consumers if not known.stopped] + [consumer]
        return consumer

    async def leave(self, channel: str, worker_id: str) -> None:
        for reader in self._consumers:
            if isinstance(reader, Reader) and (reader.channel, reader.worker_id) == (channel, worker_id):
                reader.deregister()

    async def workers(self, channel: str) -> int:
        """Return the workers of this process; if it has none, 1 when somebody answers on ``channel``, else 0.

        Cancelling is safe.

        Raises:
            Unavailable: the channel cannot be asked.
        """
        return self._pumps.workers(self._foreign, channel) or int(await self._probes.answered(channel))

    async def worker_ids(self, channel: str) -> list[str]:
        """Return none: a foreign layer does not know them. So a cancelled call is withdrawn, or runs to its end."""
        return []

    async def subscribe(self, group: str, channel: str) -> None:
        await self._subscriptions.add(group, channel)

    def unsubscribe(self, group: str, channel: str) -> None:
        self._subscriptions.remove(group, channel)

    async def subscribers(self, group: str) -> list[str]:
        """Return one name that stands for the whole group: what is pushed to it is sent to every member.

        Cancelling is safe: nothing is asked of the foreign layer.
        """
        self._subscriptions.check()
        return [GROUP + group]

    def _expires(self) -> int:
        return self._now_ms() + self._expiry_ms
