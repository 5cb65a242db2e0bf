"""What stands in the URL of a server, by the names that redis-py has for connection options."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ....errors import ConfigurationError
from ...url_text import check_text, scheme_hint, without_password

DEFAULT_PORT = 6379
"""The port of a Redis or Valkey server whose URL names none."""
SCHEMES = {"redis", "rediss", "unix"}
NOT_IN_QUERY = {"host", "port", "path", "ssl", "connection_class", "credential_provider"}
"""Options that stand elsewhere in a URL, or that text cannot express."""
ENCODE = "percent-encode what is special in a password: / is %2F, # is %23, ? is %3F, @ is %40"


def url_options(url: str) -> dict[str, Any]:
    """Read ``redis://``, ``rediss://`` or ``unix://``. Only what the URL names is in the result.

    Raises:
        ConfigurationError: the URL cannot be read, or has an option without effect. No text
            of an error shows a password.
    """
    check_text(url)
    scheme, mark, _ = url.partition("://")
    if not mark or scheme not in SCHEMES:
        raise _unread(url, scheme_hint(scheme, SCHEMES) or "use redis://, rediss:// or unix://")
    try:
        parts = urlsplit(url)
        options = _unix_options(url, parts) if scheme == "unix" else _network_options(url, parts)
    except ValueError as error:
        # The parser quotes what it cannot read, and so does its traceback: that may be a piece of a password.
        if "@" not in url and url.partition("://")[2].count(":") > 1 and "[" not in url:
            raise _unread(url, "an IPv6 address stands in brackets: redis://[::1]:6379") from None
        raise _unread(url, f"check its host and port, and {ENCODE}" if "@" in url else str(error)) from None
    if "#" in url:
        raise _unread(url, f"it has a # in it: {ENCODE}")
    for name, value in _query(url, parts.query).items():
        if name in options and name != "db":
            raise _unread(url, f"{name} stands in it twice")
        options[name] = value
    return options


def _network_options(url: str, parts: SplitResult) -> dict[str, Any]:
    options: dict[str, Any] = {"host": unquote(parts.hostname), "port": parts.port} if parts.hostname else {}
    if not parts.hostname and (parts.port is not None or "," in parts.netloc):
        raise ValueError("it names a port and no host")
    database = parts.path.strip("/") if parts.path.count("/") <= 2 else parts.path.removeprefix("/")
    if "@" in parts.path:
        raise _unread(url, ENCODE)
    if database and not (database.isascii() and database.isdecimal()):
        raise ConfigurationError(f"{without_password(url)}: the database {database!r} is no number")
    options |= {"db": database} if database else {}
    return options | _login(parts) | ({"ssl": True} if parts.scheme == "rediss" else {})


def _unix_options(url: str, parts: SplitResult) -> dict[str, Any]:
    if parts.hostname or parts.port is not None:
        raise _unread(url, "a socket has an absolute path, behind three slashes: unix:///run/redis.sock")
    if "@" in parts.netloc and "@" in parts.path:
        raise _unread(url, ENCODE)  # what stands before the second "@" may be a piece of a password
    path = unquote(parts.path)
    if not path or path.endswith("/"):
        raise ConfigurationError("a unix:// URL needs the path of a socket: unix:///run/redis.sock")
    return {"path": path, **_login(parts)}


def _login(parts: SplitResult) -> dict[str, str]:
    login = {"username": parts.username, "password": parts.password}
    return {name: unquote(value) for name, value in login.items() if value}


def _query(url: str, query: str) -> dict[str, str]:
    """The options of a query, each once."""
    if "@" in query and "=" not in query.partition("@")[0]:
        raise _unread(url, ENCODE)  # what stands before the "@" may be a piece of a password
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in NOT_IN_QUERY:
            hint = "use rediss:// for TLS" if name == "ssl" else "it stands in front of the question mark, if anywhere"
            raise _unread(url, f"{name} is no option of a URL: {hint}")
        if not value or name in found:
            raise _unread(url, "an option of it has no value, or stands in it twice")
        found[name] = value
    return found


def _unread(url: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"not a server URL: {without_password(url)} ({reason})")
