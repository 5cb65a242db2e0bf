"""What the server says of who is there: names that any program with a right to the key has written. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...contract.names import is_channel
from ...foundation.text import CONTROL
from ...protocol.control_messages import is_inbox

MAX_MEMBERS = 10_000
"""Names of one set that are used: workers of a channel, or subscribers of an event. A fleet has fewer."""
MAX_WORKER_ID = 250
"""Characters of a worker ID: ours are the service, a process number, a random part, and the inbox of the process."""


class UnexpectedAnswer(Exception):
    """The answer is none that the script gives, so the answers of the connection may have lost their order."""


def channels_in(answer: Any) -> tuple[list[str], int]:
    """The channel names and inboxes in an answer, sorted, and how many other members it has.

    Raises:
        UnexpectedAnswer: it is no array of byte strings.
    """
    return _names_in(answer, is_channel)


def workers_in(answer: Any) -> tuple[list[str], int]:
    """The worker IDs in an answer, sorted, and how many other members it has. Raises as ``channels_in``."""
    return _names_in(answer, is_worker_id)


def is_worker_id(name: str) -> bool:
    """Whether ``name`` can be a worker ID: short, in one line, and what follows its ``@``, if any, is an inbox."""
    _, at, inbox = name.partition("@")
    return 0 < len(name) <= MAX_WORKER_ID and CONTROL.search(name) is None and (not at or is_inbox(inbox))


def _names_in(answer: Any, is_right: Callable[[str], bool]) -> tuple[list[str], int]:
    if type(answer) is not list or not all(type(member) is bytes for member in answer):
        raise UnexpectedAnswer
    names = sorted(name for name in map(_text, answer) if is_right(name))[:MAX_MEMBERS]
    return names, len(answer) - len(names)


def _text(member: bytes) -> str:
    """The name that the bytes hold, "" for bytes that are no name."""
    try:
        return member.decode() if len(member) <= 4 * MAX_WORKER_ID else ""
    except UnicodeDecodeError:
        return ""
