"""The ``hosts`` of a CHANNEL_LAYERS entry as targets, and which of them a name belongs to."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConfigurationError
from ..layers.redis.topology.address import Address
from ..layers.redis.topology.server_url import DEFAULT_PORT, url_options
from ..layers.redis.topology.target import SentinelTarget, Target, target_from_url
from ..layers.redis.topology.tls import read_truth

Host = str | tuple[str, int] | list[Any] | Mapping[str, Any]


def read_hosts(hosts: Sequence[Host] | None) -> tuple[Target, ...]:
    """The targets of ``hosts``; localhost when there are none.

    An entry is a URL, ``(host, port)``, or a dict of redis-py connection keywords with ``address``, ``host`` and
    ``port``, ``path``, or ``master_name`` and ``sentinels`` (and ``sentinel_kwargs``). Raises ValueError for a bare
    str, as channels_redis does, or pair, ConfigurationError for an entry it cannot read.
    """
    is_one = isinstance(hosts, tuple) and len(hosts) == 2 and isinstance(hosts[1], int)
    if is_one or isinstance(hosts, str | bytes):
        raise ValueError("hosts must be a list of servers, such as ['redis://localhost:6379/0']")
    return tuple(_read(host) for host in hosts or [("localhost", DEFAULT_PORT)])


def shard_of(name: str, shards: int) -> int:
    """The one of ``shards`` servers that everything under ``name`` lives on. The same in every process and release."""
    return crc32(name.encode()) % shards if shards > 1 else 0


def _read(host: Host) -> Target:
    if isinstance(host, str):
        return target_from_url(host)
    if isinstance(host, Mapping):
        options = dict(host)
        return _sentinel(options) if "master_name" in options else _from_options(options)
    return _pair(host)


def _pair(host: Any) -> Address:
    return _from_options(_pair_options(host))


def _pair_options(host: Any) -> dict[str, Any]:
    try:
        name, port = host
    except (TypeError, ValueError):
        raise ConfigurationError(_unread("(host, port)")) from None
    if not isinstance(name, str):
        raise ConfigurationError(_unread("(host, port)"))
    return {"host": name, "port": port}


def _unread(wanted: str) -> str:
    """The text of an error, without the entry: it may hold a password."""
    return f"cannot read the host: give a URL, (host, port) or a dict; here {wanted}"


def _sentinel(options: dict[str, Any]) -> SentinelTarget:
    master, sentinels = options.pop("master_name"), options.pop("sentinels", None)
    login = options.pop("sentinel_kwargs", None) or {}
    if not isinstance(login, Mapping):
        raise ConfigurationError("sentinel_kwargs must be a dict")
    if not isinstance(sentinels, Sequence) or isinstance(sentinels, str | bytes) or not sentinels:
        raise ConfigurationError(f"the primary {master!r} needs sentinels: [('host', 26379), ...]")
    for name in ("address", "host", "port", "path"):
        if name in options:
            raise ConfigurationError(f"{name} has no effect beside master_name: the sentinels know where it is")
        if name in login:
            raise ConfigurationError(f"{name} has no effect in sentinel_kwargs: it stands in sentinels")
    asked = tuple(_from_options({**_pair_options(sentinel), **login}) for sentinel in sentinels)
    return SentinelTarget(str(master), asked, _from_options(options))


def _from_options(options: dict[str, Any]) -> Address:
    address = options.pop("address", None)
    base: dict[str, Any] = {}
    if address is not None:
        base = url_options(address) if isinstance(address, str) else _pair_options(address)
    if base.get("ssl") and options.get("ssl") is not None and not read_truth("ssl", options["ssl"]):
        raise ConfigurationError("ssl is False, but the address is rediss://: use redis://")
    return Address.from_options({**base, **options}, "host option")
