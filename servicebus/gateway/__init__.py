"""The HTTP edge: an ASGI application that calls what it exposes of the bus, and nothing else."""

from .app import Gateway

__all__ = ["Gateway"]
