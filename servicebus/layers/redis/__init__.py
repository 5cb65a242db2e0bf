"""The Redis and Valkey layer: hiredis on an asyncio Protocol, one pipelined connection, one reader a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...channel_layer.layer import RedisChannelLayer

__all__ = ["RedisChannelLayer"]


def __getattr__(name: str) -> Any:
    """The Channels backend brings Django along; the bus, which shares this package, does without."""
    if name == "RedisChannelLayer":
        from ...channel_layer.layer import RedisChannelLayer

        return RedisChannelLayer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
