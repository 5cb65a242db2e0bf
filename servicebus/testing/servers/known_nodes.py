"""What a node of a Cluster knows of the others."""

from __future__ import annotations

from dataclasses import dataclass

from .server import Server


@dataclass(frozen=True, slots=True)
class Known:
    """A node as another one sees it. ``epoch`` orders what is said of it; ``slots`` are ranges, ends included."""

    id: str
    flags: frozenset[str]
    epoch: int
    slots: tuple[tuple[int, int], ...]

    @property
    def is_primary(self) -> bool:
        return "master" in self.flags

    def has(self, slot: int) -> bool:
        return any(first <= slot <= last for first, last in self.slots)


def known_to(node: Server) -> list[Known]:
    """All nodes that this one knows, itself among them."""
    return [_parsed(line.split(" ")) for line in node.run("CLUSTER", "NODES").decode().splitlines()]


def _parsed(parts: list[str]) -> Known:
    """From: ID, address, flags, primary, two instants, epoch, state of the link, and the slots."""
    # Slots on their way stand in brackets, beside the range that they belong to until they have arrived.
    ranges = [part.partition("-") for part in parts[8:] if not part.startswith("[")]
    slots = tuple((int(first), int(last or first)) for first, _, last in ranges)
    return Known(parts[0], frozenset(parts[2].split(",")) - {"myself"}, int(parts[6]), slots)


def primaries_of(view: list[Known]) -> frozenset[tuple[str, tuple[tuple[int, int], ...]]]:
    """Who serves what: the part of a view on which nodes have to agree."""
    return frozenset((known.id, known.slots) for known in view if known.slots and known.is_primary)
