"""One node of a Cluster, and how several nodes become a Cluster."""

from __future__ import annotations

from functools import partial

from ..waiting import wait_until
from .known_nodes import known_to
from .ports import HOST, free_ports
from .server import Server, follows

SLOTS = 16_384
"""Slots of every Cluster; the protocol fixes this number."""
MEET_WITHIN = 20.0
"""Seconds within which a replica must know its primary, also on a busy machine."""


class Node(Server):
    """A server in cluster mode. It keeps what it knows about the cluster in a file of its directory.

    Attributes:
        id: the ID that the node chose at its first start.
        bus_port: a second port, on which the nodes exchange messages.
    """

    id: str
    bus_port = 0

    def _choose_ports(self) -> None:
        self.port, self.bus_port = free_ports(2)

    def _command(self) -> list[str]:
        return [*super()._command(), "--cluster-port", str(self.bus_port)]

    def _launch(self, *more_options: str) -> None:
        super()._launch(*more_options)
        self.id = self.run("CLUSTER", "MYID").decode()


def join(nodes: list[Node], primaries: int) -> None:
    """Make a cluster of nodes: the first ``primaries`` nodes are primaries, the others replicas of them in turn.

    Raises:
        TimeoutError: a replica did not meet its primary in time.
    """
    ends = [SLOTS * number // primaries for number in range(primaries + 1)]
    for number, node in enumerate(nodes):
        # Different epochs from the start: nodes with equal epochs need seconds to make them different.
        node.run("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number < primaries:
            node.run("CLUSTER", "ADDSLOTSRANGE", ends[number], ends[number + 1] - 1)
        for other in nodes[:number]:
            node.run("CLUSTER", "MEET", HOST, other.port, other.bus_port)
    for number, node in enumerate(nodes[primaries:]):
        primary = nodes[number % primaries]
        wait_until(partial(has_met, node, primary.id), MEET_WITHIN, "the replica has met its primary")
        node.run("CLUSTER", "REPLICATE", primary.id)


def has_met(node: Server, other: str) -> bool:
    """Return whether ``node`` has met the node with the ID ``other``."""
    return any(known.id == other and "handshake" not in known.flags for known in known_to(node))


def in_step(node: Server) -> bool:
    """Return whether ``node`` is a primary, or a replica that has received everything that its primary had."""
    return node.role == "master" or follows(node)
