"""Where the server is and how to talk to it, as frozen values: from a URL, or from redis-py's connection options."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import redis.asyncio.connection
import redis.connection
from redis.credentials import CredentialProvider

from ....errors import ConfigurationError, Unavailable
from ....foundation.text import as_text
from .server_url import DEFAULT_PORT, url_options
from .tls import read_tls, read_truth, tls_context

LARGEST_PORT = 65535
"""A port of TCP has 16 bits."""
LARGEST_DATABASE = 2**31 - 1
"""The number of a database, which a server reads into 31 bits. One that has fewer databases reports that."""
KNOWN = frozenset(
    {"host", "port", "path", "db", "username", "password", "credential_provider", "ssl", "connection_class"}
)
"""Options that have an effect here, beside those of TLS."""
NO_EFFECT = frozenset(
    {
        *("encoding", "encoding_errors", "decode_responses", "max_connections", "client_name", "protocol", "timeout"),
        *("socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_keepalive_options"),
        *("socket_read_size", "health_check_interval", "retry", "retry_on_timeout", "retry_on_error"),
        *("single_connection_client", "lib_name", "lib_version", "driver_info", "parser_class", "legacy_responses"),
    }
)
"""Options of redis-py that are taken and logged, because they cannot make a connection less safe: this layer has one
connection for everything, its own timeouts, and its own retries."""
_PLAIN = (redis.connection.Connection, redis.asyncio.connection.Connection)
_TLS = (redis.connection.SSLConnection, redis.asyncio.connection.SSLConnection)
_UNIX = (redis.connection.UnixDomainSocketConnection, redis.asyncio.connection.UnixDomainSocketConnection)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Address:
    """One server. ``path`` is a unix socket; else ``host`` and ``port``. ``tls`` is None for a plain connection.

    ``tls_options`` are the ``ssl_*`` keywords of redis-py that ``tls`` was made of. ``credential_provider`` is asked
    for user and password before each login.
    """

    host: str = "localhost"
    port: int = DEFAULT_PORT
    path: str = ""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None
    tls_options: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    credential_provider: CredentialProvider | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        scheme = "redis" if self.tls is None else "rediss"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix://{self.path}" if self.path else f"{scheme}://{host}:{self.port}"

    @classmethod
    def from_url(cls, url: str) -> Address:
        """Read ``redis://``, ``rediss://`` or ``unix://``.

        Raises:
            ConfigurationError: the URL cannot be read. The text does not show the password.
        """
        return cls.from_options(url_options(url), "URL option")

    @classmethod
    def from_options(cls, options: Mapping[str, Any], kind: str = "option") -> Address:
        """Read connection options by their names in redis-py. None means that an option is not given.

        Args:
            options: by name; those of ``NO_EFFECT`` are logged.
            kind: what errors call an option.

        Raises:
            ConfigurationError: nobody knows an option or its value, or options contradict each other.
        """
        tls_options = {name: value for name, value in options.items() if str(name).startswith("ssl_")}
        given = {name: value for name, value in options.items() if name not in tls_options and value is not None}
        _check_names(set(given), kind)
        is_tls = _is_tls(given)
        if is_tls and given.get("path"):
            raise ConfigurationError("a unix socket has no TLS: leave out ssl, or the path")
        if tls_options and not is_tls:
            raise ConfigurationError(
                f"{min(map(str, tls_options))} is given, but the connection has no TLS: use rediss://, or ssl: True"
            )
        if given.get("path") and ("host" in given or "port" in given):
            raise ConfigurationError("a server has a path or a host and port, not both")
        read = read_tls(tls_options)
        return cls(
            host=_host(given.get("host", "localhost")),
            port=_whole("port", given.get("port", DEFAULT_PORT), 1, LARGEST_PORT),
            path=_text("path", given.get("path", "")),
            db=_whole("db", given.get("db", 0), 0, LARGEST_DATABASE),
            username=_text("username", given.get("username", "")),
            password=_text("password", given.get("password", "")),
            tls=tls_context(read) if is_tls else None,
            tls_options=read,
            credential_provider=_provider(given),
        )

    def client_options(self) -> dict[str, Any]:
        """What a redis-py client of this server takes, save where it is and the database."""
        options: dict[str, Any] = {"credential_provider": self.credential_provider}
        if self.credential_provider is None:
            options = {"username": self.username or None, "password": self.password or None}
        return options | ({"ssl": True, **self.tls_options} if self.tls is not None else {})

    async def login(self) -> tuple[str, str] | None:
        """User and password, None for a server that wants neither. Cancelling is safe.

        Raises:
            ConfigurationError: the credential provider gives something else.
            Unavailable: the credential provider failed.
        """
        if self.credential_provider is None:
            return (self.username or "default", self.password) if self.username or self.password else None
        try:
            found = await _asked(self.credential_provider)
        except Exception as error:
            raise Unavailable(f"the credential_provider failed: {as_text(error)}") from error
        if not isinstance(found, tuple) or len(found) not in (1, 2) or not all(isinstance(part, str) for part in found):
            raise ConfigurationError("a credential_provider must return (password,) or (username, password)")
        return (found[0] or "default", found[1]) if len(found) == 2 else ("default", found[0])


async def _asked(provider: CredentialProvider) -> Any:
    if type(provider).get_credentials_async is not CredentialProvider.get_credentials_async:
        return await provider.get_credentials_async()
    return await asyncio.to_thread(provider.get_credentials)  # it may ask another server


def _check_names(names: set[str], kind: str) -> None:
    unknown = sorted(str(name) for name in names - KNOWN - NO_EFFECT)
    if unknown:
        near = get_close_matches(unknown[0], KNOWN, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(KNOWN))} and ssl_*"
        raise ConfigurationError(f"unknown {kind} {unknown[0]!r}: {hint}")
    if useless := sorted(names & NO_EFFECT):
        logger.warning("without effect on the connections of servicebus: %s", ", ".join(useless))


def _is_tls(given: Mapping[str, Any]) -> bool:
    """Whether ``ssl`` or ``connection_class`` asks for TLS."""
    asked, kind = given.get("ssl"), given.get("connection_class")
    wanted = None if asked is None else read_truth("ssl", asked)
    if kind is None:
        return bool(wanted)
    if kind not in _PLAIN + _TLS + _UNIX:
        raise ConfigurationError("connection_class: servicebus makes its own connections. Say ssl: True for TLS")
    if wanted is not None and wanted != (kind in _TLS):
        raise ConfigurationError("connection_class and ssl contradict each other: leave one out")
    if (kind in _UNIX) != bool(given.get("path")):
        raise ConfigurationError("connection_class and path contradict each other: a unix socket has a path")
    return kind in _TLS


def _provider(given: Mapping[str, Any]) -> CredentialProvider | None:
    provider = given.get("credential_provider")
    if provider is None:
        return None
    if not isinstance(provider, CredentialProvider):
        raise ConfigurationError("credential_provider must be a redis.credentials.CredentialProvider")
    if given.get("username") or given.get("password"):
        raise ConfigurationError("credential_provider replaces username and password: leave them out")
    return provider


def _host(value: Any) -> str:
    host = _text("host", value).removeprefix("[").removesuffix("]")
    if not host or "/" in host or "@" in host:
        raise ConfigurationError("host must be the name or the address of a server; a URL goes into address")
    return host


def _text(name: str, value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ConfigurationError(f"{name} must be text")
    return str(value)


def _whole(name: str, value: Any, low: int, high: int) -> int:
    """The text of the error does not show the value, which may be a piece of a password."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if is_number or (isinstance(value, str) and value.isascii() and value.isdecimal()):
        number = int(value)
        if low <= number <= high:
            return number
    raise ConfigurationError(f"{name} must be a whole number from {low} to {high}")
