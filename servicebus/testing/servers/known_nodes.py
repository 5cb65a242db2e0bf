"""What one node of a Cluster knows about all nodes: the parsed answer of CLUSTER NODES."""

from __future__ import annotations

from dataclasses import dataclass

from .server import Server


@dataclass(frozen=True, slots=True)
class KnownNode:
    """A node as another node, or the node itself, knows it.

    Attributes:
        id: the node's ID, 40 hexadecimal digits.
        flags: as CLUSTER NODES has them, without ``myself``.
        epoch: of two contradicting statements about a slot, the one with the higher epoch is right.
        slots: ranges of slot numbers, both ends included.
    """

    id: str
    flags: frozenset[str]
    epoch: int
    slots: tuple[tuple[int, int], ...]

    @property
    def is_primary(self) -> bool:
        """Whether the node is a primary, with slots or without."""
        return "master" in self.flags

    def has(self, slot: int) -> bool:
        """Return whether the node holds the slot."""
        return any(first <= slot <= last for first, last in self.slots)


def known_to(node: Server) -> list[KnownNode]:
    """Return all nodes that ``node`` knows, itself included.

    Raises:
        OSError, hiredis.ReplyError: the node does not answer.
    """
    return parse_nodes(node.run("CLUSTER", "NODES").decode())


def parse_nodes(answer: str) -> list[KnownNode]:
    """Parse the answer of CLUSTER NODES, one node on each line."""
    return [_parse_node(line.split(" ")) for line in answer.splitlines()]


def _parse_node(parts: list[str]) -> KnownNode:
    """Parse: ID, address, flags, primary, two instants, epoch, state of the connection, and the slots."""
    # A slot that is being moved is also listed in brackets. Until it has moved it belongs to the range it was in.
    ranges = [part.partition("-") for part in parts[8:] if not part.startswith("[")]
    slots = tuple((int(first), int(last or first)) for first, _, last in ranges)
    return KnownNode(parts[0], frozenset(parts[2].split(",")) - {"myself"}, int(parts[6]), slots)


def primaries_of(known: list[KnownNode]) -> frozenset[tuple[str, int, tuple[tuple[int, int], ...]]]:
    """Return the ID, epoch and slots of each primary with slots. In an agreed cluster all nodes have the same set.

    A slot that moves while two nodes differ about an epoch may move back by itself: its new primary chooses the next
    epoch that it knows of, and another node may have that one already.
    """
    return frozenset((node.id, node.epoch, node.slots) for node in known if node.slots and node.is_primary)
