"""The same echo call over other systems, one module each, set up as the documentation of each advises."""

from __future__ import annotations

import importlib
from typing import Any

from ..processes import free_port
from .base import Peer, Server

__all__ = ["FLOORS", "OURS", "PEERS", "Peer", "Server", "free_port", "load"]

OURS = "servicebus"
FLOORS = {"floor": "bench.floor.batched", "floor-tasks": "bench.floor.tasks", "floor-blocking": "bench.floor.blocking"}
PEERS = {
    "nats-py": "bench.peers.nats_py",
    "grpc.aio": "bench.peers.grpc_aio",
    "http": "bench.peers.http_uvicorn",
    "channels_redis": "bench.peers.channels_redis_layer",
    "faststream": "bench.peers.faststream_redis",
}
MODULES = {OURS: "bench.peers.ours"} | FLOORS | PEERS


def load(name: str) -> Any:
    """Return the module of a peer: ``PEER`` describes it, its processes run ``client`` and ``serve``."""
    return importlib.import_module(MODULES[name])
