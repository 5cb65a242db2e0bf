"""Reads the inbox of this process, all the time once something needs it. I/O thread only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import Unavailable
from ..foundation import running_time
from ..layers.redis.receiving.receiver import Receiver
from ..protocol.bundles import unbundled
from ..protocol.credit import Credit
from .channel_reader import Spawn
from .drop_counters import DropCounters
from .frames import read_frames
from .in_flight import InFlight
from .mailbox import Item
from .profile import Profile
from .shards import CLOSED, Closed, Shards, result_of

INBOX_AT_ONCE = 128
"""Elements of the inbox that one pop brings at most: more would keep the loop busy for too long at a time."""
READY_WITHIN = 5.0
"""Seconds that an operation on a group waits for the inbox: longer than a failover of a healthy server takes."""


class InboxReader:
    """The reader of the inbox. It starts at the first demand and runs until its engine closes.

    Args:
        profile: what the layer was configured with.
        shards: the servers.
        deliver: takes the local name and the item of each frame. It must not raise.
        in_flight: is told of each frame that has been delivered.
        counters: counts what cannot be read.
        spawn: starts the task that opens the reader.

    Attributes:
        is_read: the inbox is being read, so that a consumer need not ask for it. From any thread.
        credit: how many elements may be on their way from the server.
    """

    def __init__(
        self,
        profile: Profile,
        shards: Shards,
        deliver: Callable[[str, Item], None],
        in_flight: InFlight,
        counters: DropCounters,
        spawn: Spawn,
    ) -> None:
        self._profile = profile
        self._shards = shards
        self._deliver = deliver
        self._in_flight = in_flight
        self._counters = counters
        self._spawn = spawn
        # Ends when the inbox is being read; None before the first demand.
        self._opening: asyncio.Task[Receiver] | None = None
        self.is_read = False
        self.credit = Credit(INBOX_AT_ONCE)

    def start(self) -> None:
        """Read the inbox from now on, unless it is read already or the layer closes."""
        if self._opening is None and not self._shards.closing:
            self._opening = self._spawn(self._open())

    async def ready(self) -> None:
        """Return once the inbox is being read and this process is known to be alive.

        Cancelling is safe: the reader goes on.

        Raises:
            Unavailable: that took longer than ``READY_WITHIN`` seconds; Closed: the layer was closed.
        """
        try:
            async with running_time.timeout(READY_WITHIN):
                await self._shards.opened(self._profile.inbox)
                self.start()
                if self._opening is None:
                    raise Closed(CLOSED)
                await result_of(self._opening)
        except TimeoutError as error:
            raise Unavailable(f"the inbox of this process was not opened within {READY_WITHIN:.0f} s") from error

    async def _open(self) -> Receiver:
        shard = await self._shards.until_opened(self._profile.inbox)

        def on_popped(elements: list[bytes], fence: int) -> None:
            for local, item in read_frames(unbundled(elements), fence, shard, self._counters):
                self._deliver(local, item)
                self._in_flight.ended(item.frame)
            self.credit.release(len(elements))

        receiver = shard.layer.consume(self._profile.inbox, on_popped, self.credit, worker_id=self._profile.client)
        await receiver.ready()
        self.is_read = True
        return receiver
