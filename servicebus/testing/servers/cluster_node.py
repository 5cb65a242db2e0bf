"""One node of a Cluster, and how several become one."""

from __future__ import annotations

from functools import partial

from ..waiting import wait_until
from .process import HOST, free_ports
from .server import Server, follows
from .view import known_to

SLOTS = 16_384
MEET_WITHIN = 20.0


class Node(Server):
    """A server with a second port, on which the nodes talk. It keeps what it knows in a file of its directory."""

    bus_port = 0

    def _choose_ports(self) -> None:
        self.port, self.bus_port = free_ports(2)

    def _command(self) -> list[str]:
        return [*super()._command(), "--cluster-port", str(self.bus_port)]

    def _launch(self, *more_options: str) -> None:
        super()._launch(*more_options)
        self.id: str = self.run("CLUSTER", "MYID").decode()


def join(nodes: list[Node], primaries: int) -> None:
    """Make a cluster of nodes: the first are the primaries, the rest follow them by turns. Raises TimeoutError."""
    ends = [SLOTS * number // primaries for number in range(primaries + 1)]
    for number, node in enumerate(nodes):
        # Different from the start, or the nodes would spend seconds on making them so.
        node.run("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number < primaries:
            node.run("CLUSTER", "ADDSLOTSRANGE", ends[number], ends[number + 1] - 1)
        for other in nodes[:number]:
            node.run("CLUSTER", "MEET", HOST, other.port, other.bus_port)
    for number, node in enumerate(nodes[primaries:]):
        primary = nodes[number % primaries]
        wait_until(partial(knows, node, primary.id), MEET_WITHIN, "the replica has met its primary")
        node.run("CLUSTER", "REPLICATE", primary.id)


def knows(node: Server, other: str) -> bool:
    """Whether it has met the node with this ID."""
    return any(known.id == other and "handshake" not in known.flags for known in known_to(node))


def in_step(node: Server) -> bool:
    """Whether it is a primary, or has all that its primary had."""
    return node.role == "master" or follows(node)
