"""Channel names: what is legal, and how reply channels are made and read. See docs/spec.md, section 2."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import sha256

from ..errors import ConfigurationError

MAX_LENGTH = 100
REMEMBERED = 10_000

_CHANNEL = re.compile(r"[a-zA-Z\d\-_.]+(\![\d\w\-_.]*)?\Z")
_routes: dict[str, tuple[str, str]] = {}
_SERVICE = re.compile(r"[a-zA-Z\d][a-zA-Z\d\-_]{0,39}\Z")


def is_channel(name: str) -> bool:
    """Whether ``name`` is a legal channel name."""
    return len(name) < MAX_LENGTH and _CHANNEL.match(name) is not None


def checked_channel(name: object) -> str:
    """``name``, when it is a legal channel name. Raises ConfigurationError, which quotes the rule."""
    if isinstance(name, str) and is_channel(name):
        return name
    raise ConfigurationError(
        f"{name!r} is no channel name: letters, digits, '-', '_' and '.', fewer than {MAX_LENGTH} characters"
    )


def checked_route(name: object) -> tuple[str, str]:
    """The route of a legal channel name. Raises as ``checked_channel``. What repeats is remembered."""
    known = _routes.get(name) if isinstance(name, str) else None
    if known is None:
        if len(_routes) >= REMEMBERED:
            _routes.clear()
        channel = checked_channel(name)
        known = _routes[channel] = route(channel)
    return known


def checked_service(name: object) -> str:
    """``name``, when it is a legal service name. Raises ConfigurationError, which quotes the rule."""
    if isinstance(name, str) and _SERVICE.match(name):
        return name
    raise ConfigurationError(f"{name!r} is no service name: letters, digits, '-' and '_', at most 40 characters")


def request_channel(service: str) -> str:
    """Where a service's workers take calls and one-way messages from."""
    return f"{service}.request"


def events_channel(service: str) -> str:
    """Where a service's workers take the events from that it subscribed to."""
    return f"{service}.events"


def inbox_mark(service: str) -> str:
    """What the names of all processes of a service start with: eight characters, by which a server's ACL knows them."""
    return urlsafe_b64encode(sha256(service.encode()).digest()[:6]).decode()


def reply_prefix(service: str, process: str) -> str:
    """What all reply channels of a process start with, up to and including the ``!``."""
    return f"response.{service}.{process}!"


def route(channel: str) -> tuple[str, str]:
    """The list that holds a channel's messages, and the local name that tells them apart in it.

    ``inventory.request`` has a list of its own: ``("inventory.request", "")``. The process-local channels of one
    process share its inbox: ``response.orders.4f2a!c81d`` is ``("4f2a!", "response.orders!c81d")``.
    """
    name, mark, rest = channel.partition("!")
    if not mark:
        return channel, ""
    prefix, dot, process = name.rpartition(".")
    if not prefix.strip("."):
        prefix += dot  # nothing, or dots alone: ``.4f2a!c81d`` is not ``4f2a!c81d``
    return process + mark, prefix + mark + rest


def full_name(target: str, local: str) -> str:
    """The channel that ``route`` made a list and a local name of."""
    if not local:
        return target
    prefix, _, rest = local.partition("!")
    return f"{prefix}.{target}{rest}" if prefix.strip(".") else f"{prefix}{target}{rest}"


def caller_of(reply_channel: str) -> str:
    """The service that a reply channel belongs to, "" when it is not one of ours."""
    parts = reply_channel.split(".", 2)
    return parts[1] if len(parts) == 3 and parts[0] == "response" else ""
