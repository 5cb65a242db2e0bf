"""Which node of a Cluster is the primary of a shard or a slot now, and whether the nodes agree on that."""

from __future__ import annotations

from contextlib import suppress

import hiredis

from ...errors import Unavailable
from ..waiting import wait_until
from .admin import fields
from .cluster_node import Node, in_step
from .known_nodes import KnownNode, known_to, primaries_of

AGREE_WITHIN = 20.0
"""Seconds within which the nodes must agree, also on a busy machine and after several failovers."""


class ClusterTopology:
    """The roles of the nodes, asked from the nodes anew each time: nothing is cached.

    Args:
        nodes: all nodes; the owner of the list may still add nodes. The primaries of the start come first.
        primaries: the number of shards.
    """

    def __init__(self, nodes: list[Node], primaries: int) -> None:
        self._nodes = nodes
        self._primaries = primaries

    def shard(self, number: int) -> list[Node]:
        """Return the node that was the primary of a shard at the start, and its replicas."""
        return self._nodes[number :: self._primaries]

    def primary(self, number: int) -> Node:
        """Return the present primary of a shard, running or not.

        Raises:
            Unavailable: no node answers.
        """
        shard = {node.id: node for node in self.shard(number)}
        candidates = [known for known in self._known() if known.is_primary and known.id in shard]
        # A primary that was replaced while it was away is still listed as a primary, but without slots.
        return shard[max(candidates, key=lambda known: (bool(known.slots), known.epoch)).id]

    def owner(self, slot: int) -> Node:
        """Return the present primary of a slot, running or not.

        Raises:
            Unavailable: no node answers, or no node holds the slot.
        """
        candidates = [known for known in self._known() if known.has(slot)]
        if not candidates:
            raise Unavailable(f"no node has slot {slot}")
        owner = max(candidates, key=lambda known: known.epoch).id
        return next(node for node in self._nodes if node.id == owner)

    def slot_of(self, key: str) -> int:
        """Return the number of a key's slot.

        Raises:
            Unavailable: no node answers.
        """
        found: int = self._answering()[0].run("CLUSTER", "KEYSLOT", key)
        return found

    def fail_over(self, number: int) -> Node:
        """Let a running replica of a shard take over from the primary, which runs too. Returns the new primary.

        Raises:
            TimeoutError: the nodes did not agree on the new primary in time.
        """
        before = self.primary(number)
        replica = next(node for node in self.shard(number) if node is not before and node.answering)
        replica.run("CLUSTER", "FAILOVER")
        wait_until(
            lambda: self.primary(number) is replica and self.agreed(), AGREE_WITHIN, "the replica has taken over"
        )
        return replica

    def wait_until_agreed(self, what: str = "the nodes of the cluster agree") -> None:
        """Block until ``agreed``.

        Raises:
            TimeoutError: the nodes did not agree in time; the error has the text ``what``.
        """
        wait_until(self.agreed, AGREE_WITHIN, what)

    def agreed(self) -> bool:
        """Return whether all answering nodes report the state ok, list the same primaries, and follow these.

        Raises:
            Unavailable: no node answers.
        """
        answering = self._answering()
        with suppress(OSError, hiredis.ReplyError):
            views = {primaries_of(known_to(node)) for node in answering}
            states = [fields(node.run("CLUSTER", "INFO")) for node in answering]
            return len(views) == 1 and all(map(self._is_complete, states)) and all(map(in_step, answering))
        return False

    def _is_complete(self, state: dict[str, str]) -> bool:
        return state["cluster_state"] == "ok" and int(state["cluster_known_nodes"]) == len(self._nodes)

    def _known(self) -> list[KnownNode]:
        """Return what every answering node knows about every node. The highest epoch is right where they differ."""
        return [known for node in self._answering() for known in known_to(node)]

    def _answering(self) -> list[Node]:
        found = [node for node in self._nodes if node.answering]
        if not found:
            raise Unavailable("no node answers")
        return found
