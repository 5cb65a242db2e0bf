"""Moving a slot of a Cluster, and its keys, from one primary to another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .cluster_node import Node
from .ports import HOST

KEYS_AT_ONCE = 100
"""Keys in one MIGRATE command: few enough that the nodes serve clients in between."""
MOVE_WITHIN_MS = 5000
"""Milliseconds after which MIGRATE gives up on a node that does not answer."""


@contextmanager
def slot_in_transit(slot: int, source: Node, target: Node) -> Iterator[None]:
    """For the duration of a block, be in the middle of moving a slot; finish the move after the block.

    In the block ``source`` answers for the keys it has, and redirects clients to ``target`` for others (ASK).
    """
    target.run("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
    source.run("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
    yield
    _move_keys(slot, source, target)
    # The target first: otherwise it would redirect the clients that the source sends to it back to the source.
    for node in [target, source]:
        node.run("CLUSTER", "SETSLOT", slot, "NODE", target.id)


def _move_keys(slot: int, source: Node, target: Node) -> None:
    login = ("AUTH", target.password) if target.password else ()
    while keys := source.run("CLUSTER", "GETKEYSINSLOT", slot, KEYS_AT_ONCE):
        source.run("MIGRATE", HOST, target.port, "", 0, MOVE_WITHIN_MS, *login, "KEYS", *keys)
