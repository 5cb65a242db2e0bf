"""Which primary of a Cluster holds which slot, as redis-py reads it from the nodes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from ....config import DEFAULT_TIMING
from ....errors import Unavailable
from ..connection.outage_report import OutageReport, log_line
from .address import Address
from .locator import HURRIED_CONNECT_WITHIN, asking_options, ended
from .target import ClusterTarget

READ_INTERVAL = 0.1
"""Seconds between two readings, at least: a reading opens a connection to each node."""

logger = logging.getLogger(__name__)


@asynccontextmanager
async def asked(
    target: ClusterTarget, primaries: Iterable[Address] = (), within: float = DEFAULT_TIMING.ask_within
) -> AsyncIterator[Any]:
    """For the duration of a block, redis-py's ``NodesManager``, which has just read the nodes and slots of a Cluster.

    Args:
        target: nodes of the Cluster.
        primaries: further nodes to ask.
        within: seconds to connect to a node, and seconds for its answer.

    Raises:
        RedisError, RedisClusterException, OSError: no node answers, or not as a node of a Cluster does.

    Cancelling is safe: the connections are closed.
    """
    seeds = [ClusterNode(node.host, node.port) for node in {*primaries, *target.nodes}]
    options = target.nodes[0].client_options() | asking_options(within)
    nodes = RedisCluster(startup_nodes=seeds, require_full_coverage=False, **options).nodes_manager
    # A node that is not in the answer is dropped by redis-py, which closes its connection only some time later.
    connected = list(nodes.startup_nodes.values())
    try:
        await nodes.initialize()
        yield nodes
    finally:
        connected += nodes.nodes_cache.values()
        await asyncio.gather(*(node.disconnect() for node in connected), return_exceptions=True)


class SlotMap:
    """Slot to primary. Read at first, and again when it was invalidated; ``on_change`` is called for a new one.

    Attributes:
        readings: how often the slots were read.
        report: what was logged of outages, of those who look for the primary of a slot.
    """

    def __init__(
        self, target: ClusterTarget, on_change: Callable[[], None], ask_within: float = DEFAULT_TIMING.ask_within
    ) -> None:
        self._target = target
        self._on_change = on_change
        self._ask_within = ask_within
        self._owners: dict[int, Address] = {}
        self._reading: asyncio.Task[None] | None = None
        self._read_at = 0.0
        self._closed = False
        self.readings = 0
        self.report = OutageReport()

    @property
    def primaries(self) -> set[Address]:
        """All that hold a slot."""
        return set(self._owners.values())

    def owner(self, slot: int) -> Address | None:
        """The primary of a slot, None while it has none."""
        return self._owners.get(slot)

    async def read(self) -> None:
        """Read the slots now. Cancelling is safe: ``close`` waits for the end of the reading.

        Raises:
            Unavailable: no node answers.
        """
        if self._reading is None:
            self._start(0.0)
        assert self._reading is not None
        await asyncio.shield(self._reading)

    def invalidate(self) -> None:
        """A channel was not where it should be: read the slots again soon. One reading at a time."""
        if self._reading is None and not self._closed:
            self._start(max(0.0, self._read_at + READ_INTERVAL - asyncio.get_running_loop().time()))

    async def close(self) -> None:
        """Stop reading. Idempotent. Cancelling is safe, but may leave a connection open."""
        self._closed = True
        await ended(self._reading, self._ask_within)

    def _start(self, delay: float) -> None:
        self._reading = asyncio.get_running_loop().create_task(self._read(delay), name="read the slots")
        self._reading.add_done_callback(self._was_read)

    def _was_read(self, task: asyncio.Task[None]) -> None:
        self._reading = None
        if task.cancelled():
            return
        error, now = task.exception(), asyncio.get_running_loop().time()
        if isinstance(error, Unavailable):
            log_line(logger, self.report.failed(self, error, now))
        elif error is not None:
            logger.error("the slots of %s were not read", self._target, exc_info=error)
        else:
            log_line(logger, self.report.connected(self, self._target, now))

    async def _read(self, delay: float) -> None:
        await asyncio.sleep(delay)
        if self._closed:
            return
        self._read_at = asyncio.get_running_loop().time()
        first = self._target.nodes[0]
        try:
            async with asked(self._target, self.primaries, self._ask_within) as nodes:
                owners = {
                    slot: replace(first, host=holders[0].host, port=int(holders[0].port))
                    for slot, holders in nodes.slots_cache.items()
                    if holders
                }
        except (RedisError, RedisClusterException, OSError) as error:
            raise _unread(self._target, error) from error
        self.readings += 1
        if owners != self._owners and not self._closed:
            self._owners = owners
            self._on_change()


class SlotOwner:
    """The primary of one slot, for a reader of what lies there."""

    connect_within = HURRIED_CONNECT_WITHIN

    def __init__(self, slots: SlotMap, slot: int) -> None:
        self._slots, self._slot = slots, slot
        self.invalidate, self.report = slots.invalidate, slots.report

    def __str__(self) -> str:
        return f"slot {self._slot}, {self._slots.owner(self._slot) or 'without a primary'}"

    async def find(self) -> Address:
        """The primary of the slot. Cancelling is safe.

        Raises:
            Unavailable: the slot has no primary.
        """
        owner = self._slots.owner(self._slot)
        if owner is None:
            raise Unavailable(f"no primary of the cluster holds slot {self._slot}")
        return owner


def _unread(target: ClusterTarget, error: Exception) -> Unavailable:
    if "Cluster mode is not enabled" in str(error):
        nodes = ", ".join(map(str, target.nodes))
        return Unavailable(f"not a node of a cluster: {nodes} (redis:// is for a single server)", retryable=False)
    return Unavailable(f"no node answers of {target}: {error}")
