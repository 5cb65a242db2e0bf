"""Taking frames back: those that have not left yet, and those that still lie in their channel."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

from ....errors import ServiceBusError
from ...delivery import Delivery
from ...limits import Limits
from ..schema.keys import Keys
from ..schema.scripts import WITHDRAW
from ..topology.migrated_frames import beginnings
from ..topology.primaries import Nodes
from .pipeline import Pipeline
from .push_commands import LIST_OUTLIVES_MS
from .verdicts import removed

FRAMES_PER_SCRIPT = 64
"""Frames that one script call is asked to take back: the server needs a third of a millisecond for as many."""


class Withdrawal:
    """Takes frames back from their channels.

    Args:
        nodes: the primaries of the channels.
        keys: the names of keys.
        limits: for how long messages live.
    """

    def __init__(self, nodes: Nodes, keys: Keys, limits: Limits) -> None:
        self._nodes = nodes
        self._keys = keys
        self._ttl_ms = int(limits.expiry * 1000) + LIST_OUTLIVES_MS

    async def withdraw(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Take frames back.

        Returns:
            The deliveries that were still queued here or on the server: no worker has them, and none will.

        Cancelling is safe: frames may or may not have been taken back.
        """
        by_channel: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            by_channel.setdefault(delivery.channel, []).append(delivery)
        taken_back: list[Delivery] = []
        for channel, wanted in by_channel.items():
            # A frame that has a place has left.
            without_place = [delivery for delivery in wanted if not delivery.place]
            unsent = self._nodes.remove(without_place) if without_place else []
            taken_back += unsent
            known = set(map(id, unsent))
            sent = [delivery for delivery in wanted if id(delivery) not in known]
            pipeline = self._nodes.pipeline(channel)
            if sent and pipeline is not None:
                taken_back += await self._from_server(pipeline, channel, sent)
        return taken_back

    async def _from_server(self, pipeline: Pipeline, channel: str, sent: list[Delivery]) -> list[Delivery]:
        """Take back frames that have left. Those that the server does not answer for count as taken by a worker."""
        # After a failover a list may hold frames that the old primary had handed out: removing them proves nothing.
        fence = pipeline.fence
        ours = beginnings(fence)
        waiting = [one for one in sent if one.frame.startswith(ours)]
        keys = (self._keys.messages(channel), self._keys.pushed(channel), self._keys.withdrawn(channel))
        taken_back: list[Delivery] = []
        while waiting:
            some = waiting[:FRAMES_PER_SCRIPT]
            pairs = [part for one in some for part in (one.place, one.frame)]
            try:
                pipeline.verify()
                answer = await pipeline.execute(*WITHDRAW.command(keys, self._ttl_ms, *pairs), name=channel)
            except ServiceBusError:
                break
            flags = removed(answer, len(some))
            # The primary may have been promoted anew before it removed them, as it has said meanwhile.
            if not flags or pipeline.fence != fence:
                break
            taken_back += compress(some, flags)
            del waiting[: len(flags)]
        return taken_back
