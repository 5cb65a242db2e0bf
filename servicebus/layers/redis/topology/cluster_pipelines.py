"""One pipeline for each primary of a Cluster, opened and closed as slots move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from redis.crc import key_slot

from ....errors import Unavailable
from ....foundation.memo import MAX_ENTRIES
from ....foundation.tasks import TaskSet
from ..schema.keys import Keys
from ..sending.pipeline import Pipeline
from .address import Address
from .slot_map import SlotMap, SlotOwner
from .target import ClusterTarget

OnMoved = Callable[[dict[str, Pipeline], list[Pipeline]], None]
"""Takes the pipeline that each channel had before, and the pipelines to nodes that are no primaries any more."""


class ClusterPipelines:
    """Which pipeline leads to which channel, inbox or group at present.

    Args:
        target: nodes of the Cluster.
        keys: the names of keys.
        new: makes the pipeline to a node.
        on_moved: called when slots have moved, or primaries were replaced. Afterwards the pipelines that it got are
            closed.
        ask_within: seconds for one question about the slots.

    Attributes:
        slots: which primary has which slot.
    """

    def __init__(
        self,
        target: ClusterTarget,
        keys: Keys,
        new: Callable[[Address], Pipeline],
        on_moved: OnMoved,
        ask_within: float,
    ) -> None:
        self._target = target
        self._keys = keys
        self._make = new
        self._on_moved = on_moved
        self._by_address: dict[Address, Pipeline] = {}
        # The pipelines of the names used last, under the slots of now.
        self._known: dict[str, Pipeline] = {}
        # Pipelines to nodes that are not primaries any more, being closed.
        self._closing = TaskSet()
        self.slots = SlotMap(target, self._remapped, ask_within)

    async def open(self) -> None:
        """Connect to the primaries; those that cannot be reached are tried again in the background.

        Cancelling is safe, but leaves connections open: call ``close``.

        Raises:
            Unavailable: no primary can be reached.
            ConfigurationError: a server is too old.
        """
        await self.slots.read()
        pipelines = self.all()
        outcomes = await asyncio.gather(*(one.link.open() for one in pipelines), return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for failure in failures:
            if len(failures) == len(pipelines) or not isinstance(failure, Unavailable):
                raise failure
        if not pipelines:
            raise Unavailable(f"{self._target} has no slots yet")
        for pipeline in pipelines:
            if pipeline.link.connection is None:
                pipeline.start()

    async def close(self) -> None:
        """Close every pipeline. Idempotent. Cancelling is safe, but leaves connections open: close again."""
        await asyncio.gather(self.slots.close(), *(one.close() for one in self.all()), self._closing.join())
        self._by_address.clear()

    def all(self) -> list[Pipeline]:
        """One for each primary."""
        return list(self._by_address.values())

    def of(self, name: str) -> Pipeline | None:
        """The pipeline to the primary that holds ``name``, None while there is none. From any thread."""
        table = self._known  # from any thread: what is found in these slots must not get into the table of others
        known = table.get(name)
        if known is None:
            known = self.of_slot(self._slot(name))
            if known is not None:
                if len(table) >= MAX_ENTRIES:
                    table.clear()
                table[name] = known
        return known

    def of_slot(self, slot: int) -> Pipeline | None:
        """The pipeline to the primary that holds a slot, None while there is none."""
        owner = self.slots.owner(slot)
        return None if owner is None else self._by_address.get(owner)

    def locator(self, name: str) -> SlotOwner:
        """The way to the primary that holds ``name``."""
        return SlotOwner(self.slots, self._slot(name))

    def _slot(self, name: str) -> int:
        return key_slot(self._keys.messages(name))

    def _remapped(self) -> None:
        known, self._known = self._known, {}
        primaries = self.slots.primaries
        for address in primaries - self._by_address.keys():
            pipeline = self._by_address[address] = self._make(address)
            if self.slots.readings > 1:
                pipeline.start()
        gone = [self._by_address.pop(address) for address in self._by_address.keys() - primaries]
        self._on_moved(known, gone)
        for pipeline in gone:
            self._closing.spawn(pipeline.close())
