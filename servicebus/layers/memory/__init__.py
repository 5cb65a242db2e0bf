"""The layer of one process: ``memory://``. Tests run on it, and services that have not been split yet.

Delivery guarantee: at most once, FIFO per channel, capacity and expiry as on Redis. ``memory://`` and ``memory://name``
each name one hub of the process, which holds the messages. Event loops in several threads may share a hub.
"""

from .hub import Hub, hubs
from .layer import MemoryLayer

__all__ = ["Hub", "MemoryLayer", "hubs"]
