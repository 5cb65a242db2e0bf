"""Every default, the checks of numbers, and the one place that reads the environment.

Precedence: argument, then ``SERVICEBUS_*`` in the environment, then the default here.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import LARGEST_MESSAGE, ConfigurationError

DEFAULT_URL = "memory://"
DEFAULT_PREFIX = "asgi"
"""The prefix of channels_redis, so that a site that changes its backend finds its keys where they were."""
DEFAULT_TIMEOUT = 5.0
"""Seconds for a call that names no timeout: longer than any healthy call, shorter than a person's patience."""
DEFAULT_CAPACITY = 10_000
"""Messages per channel: a few seconds of work for a busy service, 2 MB on the server."""
DEFAULT_EXPIRY = 60.0
"""Seconds a message may lie unread: the expiry of channels_redis."""
DEFAULT_PRESENCE_TTL = 5.0
"""Seconds after which a silent worker no longer counts: three heartbeats, so that one may be lost."""
DEFAULT_MAX_MESSAGE_SIZE = 65_536
"""Bytes of an encoded message: larger ones belong into a store, with their key in the message."""
DEFAULT_MAX_PENDING = 65_536
"""Calls that one process may wait for: 100 MB of pending calls at most."""
DEFAULT_CONCURRENCY = 256
"""Messages a worker holds at once, per channel: enough to keep a loop busy that waits for databases."""
DEFAULT_DRAIN = 25.0
"""Seconds handlers may take to finish after SIGTERM: container platforms kill after 30."""
CLOSE_DRAIN = 5.0
"""Seconds handlers may take to finish when their bus is closed around them."""
DEFAULT_BODY_WITHIN = 10.0
"""Seconds in which an HTTP request must have arrived at the gateway: enough for 64 KB over a slow mobile network."""
DEFAULT_MAX_REQUESTS = 1024
"""HTTP requests that a gateway answers at once: 64 MB of bodies of the default size, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long the waits inside a bus take, in seconds. The defaults suit every network; tests shorten or extend them.

    Attributes:
        max_outage: how long messages wait for a lost connection before they are refused.
        max_silence: how long a server may owe the answer to a command before its connection is replaced.
        ask_within: how long one question about a topology, to a Sentinel or a node of a Cluster, may take: meanwhile
            messages wait, and another one is asked afterwards.
        verdict_within: how long a call whose deadline has passed waits for its worker to say "not started".
    """

    max_outage: float = 1.0
    max_silence: float = 5.0
    ask_within: float = 0.5
    verdict_within: float = 0.01


DEFAULT_TIMING = Timing()


@dataclass(frozen=True, slots=True, kw_only=True)
class BusConfig:
    """The settings of one bus, checked. See ``ServiceBus`` for what each means.

    Raises ConfigurationError, which names the setting and what it may be.
    """

    timeout: float = DEFAULT_TIMEOUT
    capacity: int = DEFAULT_CAPACITY
    channel_capacity: Mapping[str | re.Pattern[str], int] = field(default_factory=dict)
    expiry: float = DEFAULT_EXPIRY
    presence_ttl: float = DEFAULT_PRESENCE_TTL
    prefix: str = DEFAULT_PREFIX
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE
    max_pending: int = DEFAULT_MAX_PENDING
    on_failover: Literal["drop", "keep"] = "drop"
    timing: Timing = DEFAULT_TIMING

    def __post_init__(self) -> None:
        check_numbers(timeout=self.timeout, expiry=self.expiry, presence_ttl=self.presence_ttl)
        check_whole(capacity=self.capacity, max_pending=self.max_pending, max_message_size=self.max_message_size)
        check_whole(**{f"channel_capacity[{name!r}]": value for name, value in self.channel_capacity.items()})
        if self.max_message_size > LARGEST_MESSAGE:
            raise ConfigurationError(f"max_message_size is {self.max_message_size}: at most {LARGEST_MESSAGE} bytes")
        if not self.prefix:
            raise ConfigurationError("prefix is empty: the keys of the bus need one")
        if self.on_failover not in ("drop", "keep"):
            raise ConfigurationError(f"on_failover is {self.on_failover!r}: 'drop' or 'keep'")


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """How a worker runs.

    Attributes:
        target: ``MODULE`` or ``MODULE:ATTR`` of the service.
        drain: seconds that handlers may take to finish after SIGTERM.
        prefix: of every Redis key; that of the callers.
        max_message_size: bytes of an encoded message.
        supervisor: ID of the process to end with, 0 for none.
        keys: path of a key file, "" for the one that ``SERVICEBUS_KEYS`` names.
    """

    target: str
    url: str
    processes: int = 1
    concurrency: int = DEFAULT_CONCURRENCY
    drain: float = DEFAULT_DRAIN
    prefix: str = DEFAULT_PREFIX
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE
    supervisor: int = 0
    keys: str = ""


def check_numbers(**numbers: Any) -> None:
    """Check numbers by their names.

    Raises:
        ConfigurationError: a value is not a finite number above 0.
    """
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ConfigurationError(f"{name} is {value!r}: give a number above 0")


def check_whole(*, at_least: int = 1, **numbers: Any) -> None:
    """Check numbers by their names.

    Raises:
        ConfigurationError: a value is not an int of at least ``at_least``.
    """
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise ConfigurationError(f"{name} is {value!r}: give a whole number, at least {at_least}")


def check_share(**numbers: Any) -> None:
    """Check numbers by their names.

    Raises:
        ConfigurationError: a value is not above 0 and at most 1.
    """
    check_numbers(**numbers)
    for name, value in numbers.items():
        if value > 1:
            raise ConfigurationError(f"{name} is {value!r}: a share is at most 1")


def default_url() -> str:
    """``SERVICEBUS_URL``, then ``memory://``."""
    return os.environ.get("SERVICEBUS_URL") or DEFAULT_URL


def default_keys() -> str:
    """``SERVICEBUS_KEYS``: the path of a key file, "" when frames are not signed."""
    return os.environ.get("SERVICEBUS_KEYS", "")


def password_of(service: str) -> str:
    """``SERVICEBUS_PASSWORD_<SERVICE>``: the password of a service's user on the server, "" when it is not set."""
    return os.environ.get(f"SERVICEBUS_PASSWORD_{service.upper().replace('-', '_')}", "")


def environment_with(url: str) -> dict[str, str]:
    """The environment for a child process that uses ``url``."""
    return {**os.environ, "SERVICEBUS_URL": url}


def django_settings_named() -> bool:
    """Whether the environment names a Django settings module, so that a worker must set Django up first."""
    return bool(os.environ.get("DJANGO_SETTINGS_MODULE"))
