"""What a channel, a service and an event may be called. See docs/spec.md, section 2."""

from __future__ import annotations

import re

from ..errors import ConfigurationError

MAX_LENGTH = 100
"""Characters: a channel name is shorter, as the channel layer specification demands."""

_CHANNEL = re.compile(r"[a-zA-Z\d\-_.]+(\![\d\w\-_.]*)?\Z")
_SERVICE = re.compile(r"[a-zA-Z\d][a-zA-Z\d\-_]{0,39}\Z")


def is_channel(name: str) -> bool:
    """Whether ``name`` is a legal channel name."""
    return len(name) < MAX_LENGTH and _CHANNEL.match(name) is not None


def checked_channel(name: object) -> str:
    """``name``, when it is a legal channel name.

    Raises:
        ConfigurationError: it is not; the text quotes the rule.
    """
    if isinstance(name, str) and is_channel(name):
        return name
    raise ConfigurationError(
        f"{name!r} is no channel name: letters, digits, '-', '_' and '.', fewer than {MAX_LENGTH} characters"
    )


def checked_service(name: object) -> str:
    """``name``, when it is a legal service name.

    Raises:
        ConfigurationError: it is not; the text quotes the rule.
    """
    if isinstance(name, str) and _SERVICE.match(name):
        return name
    raise ConfigurationError(f"{name!r} is no service name: letters, digits, '-' and '_', at most 40 characters")


def request_channel(service: str) -> str:
    """The channel from which a service's workers take calls and one-way messages."""
    return f"{service}.request"


def takes_events(channel: str) -> bool:
    """Whether an event may be sent to a channel that is subscribed: not to the requests of a service, nor to a process.

    Who may write a subscription could otherwise make every publisher call the operations of others.
    """
    return "!" not in channel and not channel.endswith(".request")


def events_channel(service: str) -> str:
    """Where a service's workers take the events from that it subscribed to."""
    return f"{service}.events"
