"""Names of channels and groups, and messages, checked as the channel-layer specification demands."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ..foundation.memo import Memo
from ..protocol.addresses import split_address


class NameRules(Protocol):
    """What a layer allows as names. A site may override both methods of its layer.

    Both raise TypeError for a bad name.
    """

    def require_valid_channel_name(self, name: str) -> bool: ...

    def require_valid_group_name(self, name: str) -> bool: ...


class Destination(NamedTuple):
    """A valid channel name: the list that messages are sent to, and the local name there."""

    target: str
    local: str


def _destination(channel: str) -> Destination:
    return Destination(*split_address(channel))


class Destinations:
    """The destination of each channel that was used. A name is checked when it is first seen, not at every send."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: Memo[str, Destination] = Memo(_destination)

    def of(self, rules: NameRules, channel: str) -> Destination:
        """The destination of ``channel``.

        Raises:
            TypeError: ``rules`` do not allow the name.
        """
        found = self._known.get(channel)
        if found is None:
            rules.require_valid_channel_name(channel)
            found = self._known[channel]
        return found


def plain_name(name: str) -> str:
    """``name`` as a plain str: the name may be a member of an Enum, which is formatted as something else."""
    return str.__str__(name) if isinstance(name, str) else name


def checked_member(rules: NameRules, group: str, channel: str) -> tuple[str, str]:
    """The plain names of a group and of a channel that is to be its member.

    Raises:
        TypeError: ``rules`` do not allow one of the names.
    """
    rules.require_valid_group_name(group)
    rules.require_valid_channel_name(channel)
    return plain_name(group), plain_name(channel)


def check(condition: bool, reason: str) -> None:
    """Raise what the specification has raised as AssertionError, under ``python -O`` too.

    Raises:
        AssertionError: ``condition`` is false.
    """
    if not condition:
        raise AssertionError(reason)


def check_message(message: object) -> None:
    """Check the type and the reserved key of a message.

    Raises:
        AssertionError: the message is not a dict, or has the reserved key.
    """
    check(isinstance(message, dict), "message is not a dict")
    check("__asgi_channel__" not in message, "__asgi_channel__ is a reserved key")  # type: ignore[operator]
