"""From a URL to a layer. Only the layer that the URL asks for is imported."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..protocol.codec import Restamp, restamped
from .layer import Layer
from .limits import Limits

if TYPE_CHECKING:
    from .redis.embedded import EmbeddedServer

SCHEMES = "memory://, redis://, rediss://, unix://, redis+sentinel://, redis+cluster://, django:// or embedded://"
REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")


async def start_embedded() -> EmbeddedServer:
    """A private server that the caller owns and stops."""
    from .redis.embedded import EmbeddedServer

    server = EmbeddedServer()
    await server.start()
    return server


def layer_for(url: str, prefix: str, limits: Limits, name: str, restamp: Restamp = restamped) -> Layer:
    """The layer of a URL, not yet open. Raises ConfigurationError for a scheme that there is no layer for.

    ``restamp`` gives a frame that was never sent the fence of another primary.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "memory":
        from .memory import MemoryLayer

        return MemoryLayer(f"{prefix}:{rest}", limits)
    if separator and scheme in REDIS_SCHEMES:
        from .redis.layer import RedisLayer
        from .redis.topology.target import target_from_url

        return RedisLayer(target_from_url(url), prefix, limits, name, restamp)
    if separator and scheme == "django":
        return _layer_of_alias(rest, limits, name)
    raise ConfigurationError(f"no layer for the URL {url.rpartition('@')[2]!r}: use {SCHEMES}")


def _layer_of_alias(alias: str, limits: Limits, name: str) -> Layer:
    """An adapter to CHANNEL_LAYERS[alias]; our own layer at full speed where what lies behind the alias is ours."""
    from ..channel_layer.layer import RedisChannelLayer
    from .foreign import AdapterLayer, channel_layer
    from .redis.layer import RedisLayer

    found = channel_layer(alias)
    native = found.native if type(found) is RedisChannelLayer else None
    if native is None:
        return AdapterLayer(found, limits)
    return RedisLayer(native.target, native.prefix, replace(native.limits, presence_ttl=limits.presence_ttl), name)
