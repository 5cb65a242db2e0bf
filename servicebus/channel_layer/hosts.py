"""The ``hosts`` of a CHANNEL_LAYERS entry as targets, and which of them a name belongs to."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConfigurationError
from ..layers.redis.topology.address import DEFAULT_PORT, Address, tls_context
from ..layers.redis.topology.target import SentinelTarget, Target, target_from_url

Host = str | tuple[str, int] | list[Any] | Mapping[str, Any]

# Options of redis-py that are ignored: this layer has one connection, its own timeouts, and its own retries.
_IGNORED = {
    *("encoding", "encoding_errors", "decode_responses", "max_connections", "client_name", "protocol", "timeout"),
    *("socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_keepalive_options", "socket_read_size"),
    *("health_check_interval", "retry", "retry_on_timeout", "retry_on_error", "single_connection_client"),
    *("lib_name", "lib_version", "driver_info", "connection_class", "parser_class"),
}
_KNOWN = {"address", "host", "port", "db", "username", "password", "path"}


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
    try:
        name, port = host
        return Address(host=str(name), port=int(port))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"cannot read the host {host!r}: give a URL, (host, port) or a dict") from error


def _sentinel(options: dict[str, Any]) -> SentinelTarget:
    master, sentinels = options.pop("master_name"), options.pop("sentinels", None)
    login = {str(name): value for name, value in dict(options.pop("sentinel_kwargs", None) or {}).items()}
    if not isinstance(sentinels, Sequence) or isinstance(sentinels, str | bytes) or not sentinels:
        raise ConfigurationError(f"the primary {master!r} needs sentinels: [('host', 26379), ...]")
    where = [_pair(sentinel) for sentinel in sentinels]
    asked = tuple(_from_options({"host": one.host, "port": one.port, **login}) for one in where)
    return SentinelTarget(str(master), asked, _from_options(options))


def _from_options(options: dict[str, Any]) -> Address:
    address = options.pop("address", None)
    base = _server(address) if address is not None else Address()
    tls = {name: options.pop(name) for name in list(options) if name.startswith("ssl")}
    secure = tls.pop("ssl", False)
    unknown = set(options) - _KNOWN - _IGNORED
    if unknown:
        raise ConfigurationError(f"unknown host option {sorted(unknown)[0]!r}; known: {', '.join(sorted(_KNOWN))}")
    return Address(
        host=str(options.get("host", base.host)),
        port=int(options.get("port", base.port)),
        path=str(options.get("path", base.path)),
        db=int(options.get("db", base.db) or 0),
        username=str(options.get("username") or base.username),
        password=str(options.get("password") or base.password),
        tls=tls_context(tls) if secure else base.tls,
        tls_options=tls if secure else base.tls_options,
    )


def _server(address: Any) -> Address:
    return Address.from_url(address) if isinstance(address, str) else _pair(address)
