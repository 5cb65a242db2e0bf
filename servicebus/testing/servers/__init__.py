"""Real servers under a test's control: one server, a primary watched by Sentinels, a Cluster.

All servers listen on loopback and unix sockets only, keep their files in temporary directories, and end with the
process that started them, however that process ends. A ``with`` block starts and ends them. What takes milliseconds is
a plain method. What waits until servers agree is a coroutine: its work runs in a thread, and goes on there, within its
bounds, when the coroutine is cancelled.
"""

from __future__ import annotations

from .admin import Admin
from .cluster import Cluster
from .process import is_running
from .sentinel import SentinelGroup
from .server import Server

__all__ = ["Admin", "Cluster", "SentinelGroup", "Server", "is_running"]
