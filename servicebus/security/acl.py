"""The rights of a service's user on the server: from a description of the service to ACL rules.

A user has one set of commands without keys, and selectors that pair commands with the keys of docs/spec.md, section 3.
docs/topics/acl.md lists what these rules cannot prevent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from ..api.service import Service
from ..config import DEFAULT_PREFIX
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
"""Characters of a password, at least. The server keeps hashes without salt, so short passwords could be found."""

# Which commands a user needs for which purpose. Names are those of the server, with ``|`` before a subcommand.
CONNECTION = ("ping", "time", "info", "select", "script|exists", "client|unblock")
CLUSTER = ("cluster|slots", "client|setinfo")
RUN = ("evalsha",)
PUSH = ("rpush", "lrem", "pttl", "pexpire")
WITHDRAW = ("llen", "lpos")
NUMBER = ("get", "incrby", "pexpire")
WITHDRAWN = ("zadd", "zcount", "zremrangebyscore", "zremrangebyrank", "pttl", "pexpire")
READ_SETS = ("exists", "zrange")
POP = ("blmpop",)
REGISTER = ("zadd", "zrem", "zrange", "zcard", "zremrangebyscore", "pttl", "pexpire", "pexpireat")
SUBSCRIBE = ("zadd", "zcard", "zremrangebyscore", "pttl", "pexpire")

INBOXES = "*!"
SUBSCRIBERS = events_channel("*")

# Other characters would be read as a pattern, or would end the rule.
_PREFIX = re.compile(r"[A-Za-z\d_.:/-]+\Z")


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """What the processes of one service do on the bus.

    Args:
        name: the name of the service and of its user.
        serves: whether the service has workers. A program that only calls has none.
        calls: channels that the service calls or sends to.
        publishes: events that the service publishes.
        subscribes: events that the service receives.

    Raises:
        ConfigurationError: a name is not valid. The text names the field.
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
        """Describe a service that is served.

        The service declares the events that it receives. It does not declare what it calls and publishes, so that is
        given here.
        """
        return cls(service.name, True, tuple(calls), tuple(publishes), tuple(service.events))


class Grant(NamedTuple):
    """Commands that are allowed with keys of these patterns only.

    Attributes:
        commands: names of commands.
        keys: patterns of keys.
        mark: how the commands may use the keys: ``~`` for any use, ``%R~`` for reading.
    """

    commands: tuple[str, ...]
    keys: tuple[str, ...]
    mark: str = "~"

    def __str__(self) -> str:
        parts = [*(f"+{command}" for command in self.commands), *(f"{self.mark}{key}" for key in self.keys)]
        return f"({' '.join(parts)})"


def users(given: Iterable[ServiceUser]) -> dict[str, ServiceUser]:
    """Return the users by name.

    Raises:
        ConfigurationError: two users have the same name.
    """
    found: dict[str, ServiceUser] = {}
    for user in given:
        if user.name in found:
            raise ConfigurationError(f"service {user.name!r} is given twice: name each once")
        found[user.name] = user
    return found


def rules(user: ServiceUser, password: str, *, prefix: str = DEFAULT_PREFIX, cluster: bool = False) -> list[str]:
    """Return the rules that follow ``ACL SETUSER <name>``: the rights of the user, and the hash of its password.

    Args:
        user: whose rules.
        password: the password of the user.
        prefix: the beginning of every key on the server.
        cluster: whether the server is a Redis Cluster, whose clients also ask which node has which slots.

    Raises:
        ConfigurationError: the password is short, or a rule cannot hold the prefix.
    """
    if not _PREFIX.match(prefix):
        raise ConfigurationError(f"prefix is {prefix!r}: in a rule it takes letters, digits and any of _ . : / -")
    commands = CONNECTION + (CLUSTER if cluster else ())
    first = ["reset", "resetchannels", "on", f"#{hashed(user.name, password)}", "-@all"]
    return [*first, *(f"+{command}" for command in commands), *map(str, grants(user, prefix))]


def grants(user: ServiceUser, prefix: str) -> list[Grant]:
    """Return the selectors of a user. To run a script, a user needs its keys and every command that the script runs."""
    keys = Keys(prefix)
    lists = [*user.calls, INBOXES, *([SUBSCRIBERS] if user.publishes else [])]
    pushed = [keys.messages(name) for name in lists]
    # The frames of inboxes are not numbered.
    numbered = [name for name in lists if name != INBOXES]
    numbers, withdrawn = [keys.pushed(name) for name in numbered], [keys.withdrawn(name) for name in numbered]
    beside = [keys.workers(name) for name in lists]
    called = [keys.workers(name) for name in user.calls]
    own = [keys.workers(request_channel(user.name))] if user.serves else []
    published, subscribed = [keys.group(event) for event in user.publishes], [keys.group(e) for e in user.subscribes]
    found = [
        _grant(RUN, [*pushed, *beside, *numbers, *withdrawn, *own, *published, *subscribed]),
        _grant(PUSH, pushed),
        _grant(WITHDRAW, [keys.messages(name) for name in user.calls]),
        _grant(NUMBER, numbers),
        _grant(WITHDRAWN, withdrawn),
        _grant(POP, [keys.messages(name) for name in _consumed(user)]),
        _grant(READ_SETS, called + published, "%R~"),
        _grant(REGISTER, own),
        _grant(SUBSCRIBE, subscribed),
    ]
    return [grant for grant in found if grant.keys]


def _consumed(user: ServiceUser) -> list[str]:
    """Return the lists that the processes of a user pop from: the channels of the service, and their inboxes."""
    own = [f"{inbox_mark(user.name)}{INBOXES}"]
    if user.serves:
        own += [request_channel(user.name)]
    if user.subscribes:
        own += [events_channel(user.name)]
    return own


def _grant(commands: tuple[str, ...], keys: Iterable[bytes], mark: str = "~") -> Grant:
    return Grant(commands, tuple(dict.fromkeys(key.decode() for key in keys)), mark)


def hashed(name: str, password: str) -> str:
    """Return the hash of a password, as the server keeps it.

    Raises:
        ConfigurationError: the password has fewer than ``SHORTEST_PASSWORD`` characters.
    """
    if len(password) < SHORTEST_PASSWORD:
        raise ConfigurationError(
            f"the password of {name!r} has {len(password)} characters: give {SHORTEST_PASSWORD} random ones at least"
        )
    return sha256(password.encode()).hexdigest()


def named_lists(option: str, texts: Iterable[str], names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Parse lists such as ``[SERVICE=]CHANNEL,CHANNEL`` into the channels of each service.

    Args:
        option: the name of the option, for error texts.
        texts: the values of the option.
        names: the services. When there is one only, a text need not name it.

    Raises:
        ConfigurationError: a text names no service, or one that is not among ``names``.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, named, channels = text.rpartition("=")
        if not named and len(names) != 1:
            raise ConfigurationError(f"{option} {text}: name the service, as in {option} {names[0]}={text}")
        name = name if named else names[0]
        if name not in names:
            raise ConfigurationError(f"{option} {text}: {name!r} is not one of the services: {', '.join(names)}")
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
