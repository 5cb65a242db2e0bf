"""Ends a pop that blocks on the server."""

from __future__ import annotations

from ..connection.connection import Connection, pack
from ..topology.primaries import Nodes


def unblock(nodes: Nodes, channel: str, connection: Connection) -> None:
    """End the pop of ``connection`` with CLIENT UNBLOCK, on the connection that commands to the same server go on.

    It does nothing when there is not such a connection: an ID of a client means another client on another server.
    """
    pipeline = nodes.pipeline(channel)
    if pipeline is not None and pipeline.is_to_server_of(connection):
        pipeline.write(pack((b"CLIENT", b"UNBLOCK", connection.greeting.client_id)), _ignored)


def _ignored(reply: object) -> None:
    """Nothing depends on this answer."""
