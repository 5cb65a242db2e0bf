"""Where the server is and how to talk to it: a URL, read by redis-py, as frozen values."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url

from ....errors import ConfigurationError

DEFAULT_PORT = 6379
"""The port of a Redis or Valkey server whose URL names none."""
_SCHEME = re.compile(r"[a-zA-Z+]*")


@dataclass(frozen=True, slots=True)
class Address:
    """One server. ``path`` is a unix socket; else ``host`` and ``port``. ``tls`` is None for a plain connection.

    ``tls_options`` are the ``ssl_*`` keywords of redis-py that ``tls`` was made of.
    """

    host: str = "localhost"
    port: int = DEFAULT_PORT
    path: str = ""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None
    tls_options: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        scheme = "redis" if self.tls is None else "rediss"
        return f"unix://{self.path}" if self.path else f"{scheme}://{self.host}:{self.port}"

    @classmethod
    def from_url(cls, url: str) -> Address:
        """Read ``redis://``, ``rediss://`` or ``unix://``.

        Raises:
            ConfigurationError: the URL cannot be read. The text does not show the password.
        """
        try:
            options: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
            port = urlsplit(url).port
        except (ValueError, TypeError) as error:
            # The parser quotes what it cannot read, and so does its traceback: that may be a piece of a password.
            reason = "check its host and port, and percent-encode the password" if "@" in url else error
            raise ConfigurationError(f"not a server URL: {without_password(url)} ({reason})") from None
        _check_path(url)
        kind = options.get("connection_class")
        if kind is UnixDomainSocketConnection and not options.get("path"):
            raise ConfigurationError("a unix:// URL needs the path of a socket: unix:///run/redis.sock")
        return cls(
            host=options.get("host") or "localhost",
            port=port or DEFAULT_PORT,
            path=options.get("path", "") if kind is UnixDomainSocketConnection else "",
            db=int(options.get("db", 0)),
            username=options.get("username") or "",
            password=options.get("password") or "",
            tls=tls_context(options) if kind is SSLConnection else None,
            tls_options={name: value for name, value in options.items() if name.startswith("ssl_")},
        )

    def client_options(self) -> dict[str, Any]:
        """What a redis-py client of this server takes, save where it is and the database."""
        options: dict[str, Any] = {"username": self.username or None, "password": self.password or None}
        return options | ({"ssl": True, **self.tls_options} if self.tls is not None else {})


def tls_context(options: dict[str, Any]) -> ssl.SSLContext:
    """The TLS side of redis-py's connection options: ``ssl_ca_certs``, ``ssl_cert_reqs`` and so on.

    Raises:
        ConfigurationError: a file that they name cannot be used.
    """
    try:
        return _tls_context(options)
    except OSError as error:  # an SSLError is one
        raise ConfigurationError(
            f"a file of ssl_ca_certs, ssl_certfile or ssl_keyfile cannot be used: {error}"
        ) from error


def _tls_context(options: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path"))
    required = str(options.get("ssl_cert_reqs", "required")).lower()
    if required in ("none", "optional"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE if required == "none" else ssl.CERT_OPTIONAL
    elif str(options.get("ssl_check_hostname", "true")).lower() in ("false", "no", "0"):
        context.check_hostname = False
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"), options.get("ssl_password"))
    return context


def _check_path(url: str) -> None:
    """redis-py takes what is no number for the database 0."""
    parts = urlsplit(url)
    database = parts.path.removeprefix("/")
    if parts.scheme in ("redis", "rediss") and database and not database.isdecimal():
        raise ConfigurationError(f"{without_password(url)}: the database {database!r} is no number")


def without_password(url: str) -> str:
    """The URL as it may be shown: without its query, where passwords may stand too."""
    scheme, mark, rest = url.partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):  # none: what stands there may be a piece of a password
        scheme, mark, rest = "", "", url
    where, _, query = rest.partition("?")
    # With an "@" behind it, the "?" may be part of a password.
    return f"{scheme}{mark}{'...' if '@' in query else where.rpartition('@')[2]}"
