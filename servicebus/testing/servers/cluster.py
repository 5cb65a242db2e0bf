"""A Cluster: several primaries that share the slots, and their replicas."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, ExitStack

from ..waiting import wait_until
from .block_scoped import BlockScoped
from .cluster_node import Node, join
from .cluster_topology import AGREE_WITHIN, ClusterTopology
from .ports import HOST
from .server import Server
from .slot_moves import slot_in_transit


class Cluster(BlockScoped):
    """``with Cluster() as cluster:`` starts the nodes, joins them, and waits until all report the state ok.

    While some slots have no primary, the others are served.

    Args:
        primaries: the number of primaries, and so of shards.
        replicas: the number of replicas of each primary.
        node_timeout: seconds without an answer after which the other nodes consider a node down.
        password: of every node, "" for none.
        options: options of the command line of every node.
    """

    def __init__(
        self,
        primaries: int = 3,
        replicas: int = 0,
        *,
        node_timeout: float = 1.0,
        password: str = "",
        options: tuple[str, ...] = (),
    ) -> None:
        timeout = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(round(node_timeout * 1000)))
        coverage = ("--cluster-require-full-coverage", "no", "--cluster-allow-replica-migration", "no")
        replication = ("--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0")
        self._primaries = primaries
        self._replicas = replicas
        self._password = password
        self._options = timeout + coverage + replication + options
        self._stack = ExitStack()  # ends the nodes
        self._nodes: list[Node] = []  # the started ones; the topology reads this list too
        self._topology = ClusterTopology(self._nodes, primaries)

    @property
    def nodes(self) -> list[Server]:
        """The primaries of the start in the order of their slots, then the replicas, one for each primary in turn."""
        return list(self._nodes)

    @property
    def url(self) -> str:
        """The URL for a bus: all nodes."""
        login = f":{self._password}@" if self._password else ""
        return f"redis+cluster://{login}{','.join(f'{HOST}:{node.port}' for node in self._nodes)}"

    def start(self) -> None:
        """Start and join the nodes.

        Raises:
            Unavailable: a node ended at once, or does not answer.
            TimeoutError: the nodes did not agree in time.
        """
        try:
            for _ in range(self._primaries * (1 + self._replicas)):
                node = Node(*self._options, tcp=True, password=self._password)
                self._nodes.append(self._stack.enter_context(node))
            join(self._nodes, self._primaries)
            wait_until(self.agreed, AGREE_WITHIN, "all nodes report that the state of the cluster is ok")
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End all nodes. Idempotent."""
        self._stack.close()
        self._nodes.clear()

    def shard(self, number: int) -> list[Server]:
        """Return the node that was the primary of a shard at the start, and its replicas."""
        return [*self._topology.shard(number)]

    def primary(self, number: int) -> Server:
        """Return the present primary of a shard, running or not, as the answering nodes report it.

        Raises:
            Unavailable: no node answers.
        """
        return self._topology.primary(number)

    def node_of(self, key: str | int) -> Server:
        """Return the present primary of a key's slot, or of the slot with that number.

        Raises:
            Unavailable: no node answers, or no node holds the slot.
        """
        return self._topology.owner(key if isinstance(key, int) else self.slot_of(key))

    def slot_of(self, key: str) -> int:
        """Return the number of a key's slot.

        Raises:
            Unavailable: no node answers.
        """
        return self._topology.slot_of(key)

    def kill_primary(self, number: int) -> Server:
        """Kill the primary of a shard and return it. ``restart`` starts it again; then wait with ``settled``."""
        found = self._topology.primary(number)
        found.kill()
        return found

    async def settled(self) -> None:
        """Wait until all answering nodes agree which nodes there are and which node holds which slot.

        Cancelling is safe.

        Raises:
            TimeoutError: the nodes did not agree in time.
        """
        await asyncio.to_thread(self._topology.wait_until_agreed)

    async def failover(self, number: int) -> Server:
        """Let a running replica of a shard take over from the running primary. Returns the new primary.

        Cancelling is safe: it ends the wait, not the failover.

        Raises:
            TimeoutError: the nodes did not agree on the new primary in time.
        """
        return await asyncio.to_thread(self._topology.fail_over, number)

    async def move_slot(self, slot: int, to: Server) -> None:
        """Move a slot and its keys to another primary.

        Cancelling is safe: it ends the wait, not the move.

        Raises:
            hiredis.ReplyError: a node refused a command of the move.
            Unavailable: no node answers, or no node holds the slot.
            TimeoutError: the nodes did not agree on the new place of the slot in time.
        """

        def move() -> None:
            with self.moving(slot, to):
                pass
            self._topology.wait_until_agreed(f"all nodes know the new place of slot {slot}")

        await asyncio.to_thread(move)

    def moving(self, slot: int, to: Server) -> AbstractContextManager[None]:
        """For the duration of a block, be in the middle of moving a slot to ``to``; finish the move after the block.

        In the block the old primary redirects clients to ``to`` for keys it does not have (ASK).
        """
        target = next(node for node in self._nodes if node is to)
        return slot_in_transit(slot, self._topology.owner(slot), target)

    def agreed(self) -> bool:
        """Return whether all answering nodes report the state ok, list the same primaries, and follow these."""
        return self._topology.agreed()
