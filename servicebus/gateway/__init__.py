"""The HTTP gateway: an ASGI application through which clients call the exposed operations, and no others."""

from .app import Gateway

__all__ = ["Gateway"]
