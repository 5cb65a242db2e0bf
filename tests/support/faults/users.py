"""Servers on which every service has a user of its own and nobody else may come in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from servicebus.layers.redis.schema import scripts
from servicebus.security.acl import ServiceUser, rules
from servicebus.testing.servers import Admin, Server


class Denial(NamedTuple):
    """An entry of ACL LOG: who was refused what, and why."""

    user: str
    reason: str
    object: str


def password_of(name: str) -> str:
    return f"only-{name}-knows-this"


def add_users(server: Server, users: Iterable[ServiceUser], *, cluster: bool = False) -> None:
    for user in users:
        listed = rules(user, password_of(user.name), cluster=cluster)
        server.run("ACL", "SETUSER", user.name, *known_to(server, listed))


def known_to(server: Server, listed: Iterable[str]) -> list[str]:
    """Redis has CLIENT SETINFO from 7.2 on, and takes no rule with a command that it does not know."""
    old = server.info("server")["redis_version"].startswith("7.0")
    return [rule for rule in listed if not (old and rule == "+client|setinfo")]


def load_scripts(server: Server) -> None:
    for script in scripts.ALL:
        server.run("SCRIPT", "LOAD", script.source)


def lock(server: Server, *users: ServiceUser) -> None:
    """Let these users in, and from now on no others; the administrator's connection stays."""
    add_users(server, users)
    load_scripts(server)
    server.run("ACL", "SETUSER", "default", "off")


def url_of(server: Server, name: str) -> str:
    return f"unix://{name}:{password_of(name)}@{server.path}"


def denials(server: Server) -> list[Denial]:
    """All that was refused since this was asked last."""
    entries = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in server.run("ACL", "LOG", 1000)]
    server.run("ACL", "LOG", "RESET")
    return [Denial(*(entry[part.encode()].decode() for part in ("username", "reason", "object"))) for entry in entries]


def connection_of(server: Server, name: str) -> Admin:
    """A connection of a user who types commands by hand."""
    connection = Admin(server.path)
    connection.run("AUTH", name, password_of(name))
    return connection
