"""Everything that the bus knows of URLs: one row for each scheme. A new transport is a module here and one row.

Only the layer that a URL asks for is imported, so a bus on ``memory://`` never imports redis or Django.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ConfigurationError
from ..protocol.codec import Restamp, restamped
from .layer import Layer
from .limits import Limits
from .url_text import scheme_hint, shown, text_fault

if TYPE_CHECKING:
    from .redis.embedded import EmbeddedServer


class Wanted(NamedTuple):
    """What a loader makes a layer from.

    Attributes:
        url: the whole URL.
        rest: what follows ``://`` in the URL.
        prefix: of every key, or of every name, on the transport.
        limits: what a channel may hold.
        name: of the service, which servers show for its connections.
        restamp: gives a frame that was never sent the fence of another primary.
    """

    url: str
    rest: str
    prefix: str
    limits: Limits
    name: str
    restamp: Restamp


class Scheme(NamedTuple):
    """How URLs of one scheme are used.

    Attributes:
        load: makes the layer, not yet open. It imports the module of the layer.
        reaches_other_processes: False when the messages end with this process.
        signs: whether the layer moves the bytes that a signature covers (``Ability.OPAQUE_FRAMES``).
        starts_server: the URL names a server that does not run yet: see ``start_embedded``.
    """

    load: Callable[[Wanted], Layer]
    reaches_other_processes: bool = True
    signs: bool = True
    starts_server: bool = False


def layer_for(url: str, prefix: str, limits: Limits, name: str, restamp: Restamp = restamped) -> Layer:
    """Return the layer of a URL, not yet open.

    Args:
        url: its scheme is a key of ``SCHEMES``.
        prefix: of every key, or of every name, on the transport.
        limits: what a channel may hold.
        name: of the service, which servers show for its connections.
        restamp: gives a frame that was never sent the fence of another primary.

    Raises:
        ConfigurationError: there is no layer for the scheme, or the rest of the URL is wrong.
    """
    scheme, fault = _scheme_of(url), text_fault(url)
    if scheme is None or fault:
        fault = fault or scheme_hint(url.partition("://")[0], set(SCHEMES))
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise ConfigurationError(f"no layer for the URL {shown(url)!r}: {fault or f'use one of {known}'}")
    return scheme.load(Wanted(url, url.partition("://")[2], prefix, limits, name, restamp))


def reaches_other_processes(url: str) -> bool:
    """Return whether another process could use the same URL to meet this one. True for an unknown scheme."""
    scheme = _scheme_of(url)
    return scheme is None or scheme.reaches_other_processes


def signs(url: str) -> bool:
    """Return whether frames can be signed on the layer of a URL. True for an unknown scheme."""
    scheme = _scheme_of(url)
    return scheme is None or scheme.signs


def starts_server(url: str) -> bool:
    """Return whether the URL asks for a private server, which ``start_embedded`` starts."""
    scheme = _scheme_of(url)
    return scheme is not None and scheme.starts_server and not text_fault(url)


async def start_embedded() -> EmbeddedServer:
    """Start a private server, which the caller stops. Its ``url`` is one for ``layer_for``.

    Cancelling is safe: the server is ended.

    Raises:
        ConfigurationError: no server program is installed.
        Unavailable: the server did not start.
    """
    from .redis.embedded import EmbeddedServer

    server = EmbeddedServer()
    await server.start()
    return server


def _scheme_of(url: str) -> Scheme | None:
    name, separator, _ = url.partition("://")
    return SCHEMES.get(name) if separator else None


def _load_memory(wanted: Wanted) -> Layer:
    from .memory import MemoryLayer, hubs

    return MemoryLayer(hubs.named(wanted.prefix, wanted.rest), wanted.limits)


def _load_redis(wanted: Wanted) -> Layer:
    from .redis.layer import RedisLayer
    from .redis.topology.target import target_from_url

    return RedisLayer(target_from_url(wanted.url), wanted.prefix, wanted.limits, wanted.name, wanted.restamp)


def _load_alias(wanted: Wanted) -> Layer:
    """The bus's own layer at full speed where CHANNEL_LAYERS[alias] is one of ours, else an adapter to it.

    A layer of ours says with its property ``native`` on which server it keeps which keys.
    """
    from .foreign import ForeignLayer, channel_layer
    from .redis.layer import RedisLayer

    found = channel_layer(wanted.rest)
    native = getattr(found, "native", None)
    if native is None:
        return ForeignLayer(found, wanted.limits)
    limits = replace(native.limits, presence_ttl=wanted.limits.presence_ttl)
    return RedisLayer(native.target, native.prefix, limits, wanted.name)


def _load_embedded(wanted: Wanted) -> Layer:
    raise ConfigurationError(f"the server of {wanted.url} was not started: call start_embedded and use its URL")


SCHEMES = {
    "memory": Scheme(_load_memory, reaches_other_processes=False),
    "redis": Scheme(_load_redis),
    "rediss": Scheme(_load_redis),
    "unix": Scheme(_load_redis),
    "redis+sentinel": Scheme(_load_redis),
    "rediss+sentinel": Scheme(_load_redis),
    "redis+cluster": Scheme(_load_redis),
    "rediss+cluster": Scheme(_load_redis),
    "django": Scheme(_load_alias, signs=False),
    "embedded": Scheme(_load_embedded, reaches_other_processes=False, starts_server=True),
}
"""How each scheme is used, by the text before ``://``."""
