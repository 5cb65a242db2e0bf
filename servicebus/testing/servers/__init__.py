"""Real servers under a test's control: one, a primary watched by Sentinels, a Cluster.

All listen on loopback and unix sockets only, keep their files in temporary directories, and end with their owner,
however that ends. ``with`` starts and ends them. What takes milliseconds is a plain method. What waits until servers
have agreed on something is a coroutine; its work goes on in a thread, within its bounds, when it is cancelled.
"""

from __future__ import annotations

from .admin import Admin
from .cluster import Cluster
from .process import is_running
from .sentinel import SentinelGroup
from .server import Server

__all__ = ["Admin", "Cluster", "SentinelGroup", "Server", "is_running"]
