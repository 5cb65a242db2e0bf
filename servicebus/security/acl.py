"""What the user of a service may do on the server: from a description to ACL rules.

A user has one set of commands without keys, and selectors that pair commands with the keys of docs/spec.md, section 3.
What the server cannot tell apart is in docs/topics/acl.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from ..api.service import Service
from ..contract.names import (
    checked_channel,
    checked_service,
    events_channel,
    request_channel,
)
from ..errors import ConfigurationError
from ..layers.redis.schema.keys import Keys
from ..protocol.addresses import inbox_mark

SHORTEST_PASSWORD = 16

CONNECTION = ("ping", "time", "info", "select", "script|exists", "client|unblock")
CLUSTER = ("cluster|slots", "client|setinfo")
RUN = ("evalsha",)
PUSH = ("rpush", "lrem", "pttl", "pexpire")
READ_SETS = ("exists", "zrange")
POP = ("blmpop",)
REGISTER = ("zadd", "zrem", "zrange", "zcard", "zremrangebyscore", "pttl", "pexpire", "pexpireat")
SUBSCRIBE = ("zadd", "zcard", "zremrangebyscore", "pttl", "pexpire")

INBOXES = "*!"
SUBSCRIBERS = events_channel("*")

# In a rule these would be patterns, or end it.
_PREFIX = re.compile(r"[A-Za-z\d_.:/-]+\Z")


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """What the processes of one service do on the bus.

    Args:
        name: of the service, and of its user.
        serves: whether it has workers of its own; who only calls has none.
        calls: channels that it calls or sends to.
        publishes, subscribes: events.

    Raises ConfigurationError, which names the field, for what is no name.
    """

    name: str
    serves: bool = True
    calls: tuple[str, ...] = ()
    publishes: tuple[str, ...] = ()
    subscribes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checked_service(self.name)
        if self.name == "default":
            raise ConfigurationError("'default' is the server's own user: give the service another name")
        for field in ("calls", "publishes", "subscribes"):
            _check_channels(f"{field} of {self.name!r}", getattr(self, field))

    @classmethod
    def of(cls, service: Service, calls: Sequence[str] = (), publishes: Sequence[str] = ()) -> ServiceUser:
        """The user of a service that is served: it says itself what it subscribes to, but not what it calls."""
        return cls(service.name, True, tuple(calls), tuple(publishes), tuple(service.events))


class Grant(NamedTuple):
    """Commands that go with these key patterns, and with no others. ``mark``: ``~`` is any use, ``%R~`` reading."""

    commands: tuple[str, ...]
    keys: tuple[str, ...]
    mark: str = "~"

    def __str__(self) -> str:
        words = [*(f"+{command}" for command in self.commands), *(f"{self.mark}{key}" for key in self.keys)]
        return f"({' '.join(words)})"


def users(given: Iterable[ServiceUser]) -> dict[str, ServiceUser]:
    """By name. Raises ConfigurationError for a name that is there twice."""
    found: dict[str, ServiceUser] = {}
    for user in given:
        if user.name in found:
            raise ConfigurationError(f"service {user.name!r} is given twice: name each once")
        found[user.name] = user
    return found


def rules(user: ServiceUser, password: str, *, prefix: str = "asgi", cluster: bool = False) -> list[str]:
    """What follows ``ACL SETUSER <name>``: everything that the user may do, and the hash of its password.

    ``prefix`` is that of the keys. ``cluster``: also what reads which node has which slots. Raises ConfigurationError
    for a short password, or a prefix that a rule could not hold.
    """
    if not _PREFIX.match(prefix):
        raise ConfigurationError(f"prefix is {prefix!r}: in a rule it takes letters, digits and any of _ . : / -")
    commands = CONNECTION + (CLUSTER if cluster else ())
    first = ["reset", "resetchannels", "on", f"#{hashed(user.name, password)}", "-@all"]
    return [*first, *(f"+{command}" for command in commands), *map(str, grants(user, prefix))]


def grants(user: ServiceUser, prefix: str) -> list[Grant]:
    """The selectors of a user. A script needs its keys, and for these the commands that it runs."""
    keys = Keys(prefix)
    lists = [*user.calls, INBOXES, *([SUBSCRIBERS] if user.publishes else [])]
    pushed = [keys.messages(name) for name in lists]
    beside = [keys.workers(name) for name in lists]
    called = [keys.workers(name) for name in user.calls]
    own = [keys.workers(request_channel(user.name))] if user.serves else []
    published, subscribed = [keys.group(event) for event in user.publishes], [keys.group(e) for e in user.subscribes]
    found = [
        _grant(RUN, [*pushed, *beside, *own, *published, *subscribed]),
        _grant(PUSH, pushed),
        _grant(POP, [keys.messages(name) for name in _consumed(user)]),
        _grant(READ_SETS, called + published, "%R~"),
        _grant(REGISTER, own),
        _grant(SUBSCRIBE, subscribed),
    ]
    return [grant for grant in found if grant.keys]


def _consumed(user: ServiceUser) -> list[str]:
    """The lists that its processes pop from: the channels of the service, and the inbox of each process."""
    own = [f"{inbox_mark(user.name)}{INBOXES}"]
    if user.serves:
        own += [request_channel(user.name)]
    if user.subscribes:
        own += [events_channel(user.name)]
    return own


def _grant(commands: tuple[str, ...], keys: Iterable[bytes], mark: str = "~") -> Grant:
    return Grant(commands, tuple(dict.fromkeys(key.decode() for key in keys)), mark)


def hashed(name: str, password: str) -> str:
    """A password as the server keeps it, which is without salt: so it has to be one that nobody could try out."""
    if len(password) < SHORTEST_PASSWORD:
        raise ConfigurationError(
            f"the password of {name!r} has {len(password)} characters: give {SHORTEST_PASSWORD} random ones at least"
        )
    return sha256(password.encode()).hexdigest()


def named_lists(option: str, texts: Iterable[str], names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """What ``[SERVICE=]CHANNEL,CHANNEL`` says for each of the services ``names``; one alone need not be named.

    Raises ConfigurationError, which names ``option``.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, named, channels = text.rpartition("=")
        if not named and len(names) != 1:
            raise ConfigurationError(f"{option} {text}: say for which service, as in {option} {names[0]}={text}")
        name = name if named else names[0]
        if name not in names:
            raise ConfigurationError(f"{option} {text}: {name!r} is none of the services: {', '.join(names)}")
        found[name] = (*found.get(name, ()), *channels.split(","))
    return found


def _check_channels(field: str, channels: Iterable[str]) -> None:
    for channel in channels:
        try:
            checked_channel(channel)
        except ConfigurationError as error:
            raise ConfigurationError(f"{field}: {error}") from None
        if "!" in channel:
            raise ConfigurationError(f"{field}: {channel!r} belongs to one process: name a channel without '!'")
