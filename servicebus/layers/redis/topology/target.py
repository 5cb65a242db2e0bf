"""What a URL or an entry of ``hosts`` means, as frozen values: one server, a primary behind Sentinels, a Cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

from ....errors import ConfigurationError
from ...url_text import check_text, scheme_hint, without_password
from .address import Address
from .server_url import ENCODE

SCHEMES = {f"{plain}+{kind}" for plain in ("redis", "rediss") for kind in ("sentinel", "cluster")}
"""The schemes of several servers."""
SENTINEL_PORT = 26379
"""The port of a Sentinel whose URL names none."""


@dataclass(frozen=True, slots=True)
class SentinelTarget:
    """The primary that ``sentinels`` know as ``master``.

    ``primary`` says how to log in there, and to which database; its host and port are not used. Each sentinel comes
    with the credentials of the sentinels.
    """

    master: str
    sentinels: tuple[Address, ...]
    primary: Address

    def __str__(self) -> str:
        return f"{self.master!r} by {', '.join(map(str, self.sentinels))}"


@dataclass(frozen=True, slots=True)
class ClusterTarget:
    """A Cluster, of which some ``nodes`` are known. All its nodes are logged in to as the first of these."""

    nodes: tuple[Address, ...]

    def __str__(self) -> str:
        return f"the cluster of {', '.join(map(str, self.nodes))}"


Target = Address | SentinelTarget | ClusterTarget


def target_from_url(url: str) -> Target:
    """Read ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://`` or ``redis+cluster://`` (or ``rediss+``).

    ``redis+sentinel://[user:password@]host:port,host:port/master[/db]``, with ``sentinel_username`` and
    ``sentinel_password`` in the query; ``redis+cluster://[user:password@]host:port,host:port``.

    Raises:
        ConfigurationError: the URL cannot be read. The text does not show the password.
    """
    check_text(url)
    scheme, _, rest = url.partition("://")
    plain, plus, kind = scheme.partition("+")
    if not plus:
        return Address.from_url(url)
    if plain not in ("redis", "rediss") or kind not in ("sentinel", "cluster"):
        hint = scheme_hint(scheme, SCHEMES) or f"unknown scheme {scheme!r}"
        raise ConfigurationError(f"not a server URL: {without_password(url)} ({hint})")
    where, _, query = rest.partition("?")
    netloc, _, path = where.partition("/")
    login, at, hosts = netloc.rpartition("@")
    if "@" in where.partition("/")[2] or "#" in url:
        raise ConfigurationError(f"not a server URL: {without_password(url)} ({ENCODE})")
    names = [host for host in hosts.split(",") if host]
    if not names:
        raise ConfigurationError(f"{without_password(url)} names no host: {scheme}://host:port,host:port")
    if kind == "cluster":
        return _cluster(url, [f"{plain}://{login}{at}{host}?{query}" for host in names], path)
    return _sentinel(url, plain, login + at, names, path, query)


def _cluster(url: str, urls: list[str], path: str) -> ClusterTarget:
    if path.removesuffix("/") not in ("", "0"):
        raise ConfigurationError(f"{without_password(url)}: a Cluster has the database 0 only")
    nodes = tuple(Address.from_url(one) for one in urls)
    if any(node.db for node in nodes):
        raise ConfigurationError(f"{without_password(url)}: a Cluster has the database 0 only")
    return ClusterTarget(nodes)


def _sentinel(url: str, plain: str, login: str, hosts: list[str], path: str, query: str) -> SentinelTarget:
    master, _, db = path.rstrip("/").partition("/")
    if not master:
        raise ConfigurationError(f"{without_password(url)} names no primary: redis+sentinel://host:port/NAME/0")
    if db and not db.isdecimal():
        raise ConfigurationError(f"{without_password(url)}: the database {db!r} is no number")
    options = dict(parse_qsl(query, keep_blank_values=True))
    user, password = options.pop("sentinel_username", ""), options.pop("sentinel_password", "")
    rest = urlencode(options)
    primary = Address.from_url(f"{plain}://{login}localhost/{db or 0}?{rest}")
    found = [Address.from_url(f"{plain}://{with_port(host, SENTINEL_PORT)}?{rest}") for host in hosts]
    return SentinelTarget(master, tuple(replace(one, db=0, username=user, password=password) for one in found), primary)


def with_port(host: str, port: int) -> str:
    """``host`` with ``port``, unless it names one. An IPv6 address stands in brackets."""
    return host if ":" in host.rpartition("]")[2] else f"{host}:{port}"
