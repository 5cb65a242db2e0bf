"""What a server says of itself when it is greeted: its role, and the fence of its last promotion. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import hiredis

CLEARED_WITHIN = 2.0
"""Seconds between two looks at a server within which it cannot be promoted and then forget that. It forgets after the
seconds of ``repl-backlog-ttl``, an hour by default, in which it has had no replica."""

_ROLE = re.compile(rb"^role:(\w+)", re.MULTILINE)
_RUN_ID = re.compile(rb"^run_id:([0-9a-f]{8})", re.MULTILINE)
_FOLLOWED = re.compile(rb"^master_replid2:([0-9a-f]{8})([0-9a-f]*)", re.MULTILINE)
_UPTIME = re.compile(rb"^uptime_in_seconds:(\d+)", re.MULTILINE)


class Hello(NamedTuple):
    """What HELLO answers.

    Attributes:
        server: the kind of the server, ``redis`` or ``valkey``.
        version: of the server.
        client_id: the ID that the server gave the connection.
        is_replica: the server follows a primary.
    """

    server: str
    version: str
    client_id: int
    is_replica: bool = False


class Info(NamedTuple):
    """What INFO answers.

    Attributes:
        is_replica: the server follows a primary.
        run_id: the first 32 bits of the server's ``run_id``, which is new after every start; 0 when it has none.
        followed: the first 32 bits of ``master_replid2``, which is new after every promotion; 0 before the first one.
        promoted: the server was a replica once.
        uptime: seconds for which the server has been running, rounded down.
    """

    is_replica: bool
    run_id: int
    followed: int
    promoted: bool
    uptime: int


def read_hello(reply: Any) -> Hello | None:
    """Read the reply to HELLO: names and values in alternation. None when it comes from another kind of server."""
    facts = dict(zip(reply[::2], reply[1::2], strict=False)) if isinstance(reply, list) else {}
    if not {b"server", b"version", b"id"} <= facts.keys():
        return None
    role = facts.get(b"role", b"master")
    return Hello(facts[b"server"].decode(), facts[b"version"].decode(), facts[b"id"], role != b"master")


def read_info(reply: bytes) -> Info:
    """Read the sections ``server`` and ``replication`` of the reply to INFO. The former may be absent."""
    role, run_id, followed, uptime = (found.search(reply) for found in (_ROLE, _RUN_ID, _FOLLOWED, _UPTIME))
    return Info(
        is_replica=role is not None and role[1] == b"slave",
        run_id=int(run_id[1], 16) if run_id else 0,
        followed=int(followed[1], 16) if followed else 0,
        # A server that was never a replica has only zeros as the ID of the history before its promotion.
        promoted=followed is None or bool((followed[1] + followed[2]).strip(b"0")),
        uptime=int(uptime[1]) if uptime else 0,
    )


def lacks_right(reply: object) -> bool:
    """Whether a command was refused because this user may not run it, or because the server does not have it."""
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(("NOPERM", "ERR unknown "))


def fence_of(run_id: int, followed: int) -> int:
    """The fence of a primary since its last promotion (docs/spec.md, section 5). 0, not known, without a run ID."""
    return (run_id ^ followed or 1) if run_id else 0


@dataclass(frozen=True, slots=True)
class Greeting:
    """The facts about a server that its answers to the handshake gave.

    Attributes:
        client_id: the ID that the server gave this connection; CLIENT UNBLOCK takes it.
        fence: of the primary since its last promotion; 0 when the server does not say it.
        offset_ms: milliseconds that, added to the clock of the event loop, give the clock of the server.
        promoted: the server was a replica once. It may hold frames that its primary had handed out already.
        started_ms: an instant on the server's clock, in milliseconds, at which the server had started for certain.
        server: which server process it is: the first 32 bits of its ``run_id``; 0 when the server does not say it.
        former: a fence that the server had before, although nobody has promoted it since; 0 when there is none.
    """

    client_id: int
    fence: int
    offset_ms: float
    promoted: bool = False
    started_ms: float = 0.0
    server: int = 0
    former: int = 0

    def has_fence(self, fence: int) -> bool:
        """Whether the primary has this fence, or had it since its last promotion."""
        return fence != 0 and fence in (self.fence, self.former)

    def without_fence(self) -> Greeting:
        """The facts about a server that does not say any more which promotion of it this is."""
        return replace(self, fence=0, former=0)

    def renewed(self, info: Info, since: float) -> Greeting:
        """The facts after another look at a server that is still a primary.

        Args:
            info: what the server says now.
            since: seconds since the look before.
        """
        fence = fence_of(self.server, info.followed)
        if fence == self.fence:
            return self
        was_cleared = not info.promoted and since < CLEARED_WITHIN
        promoted = self.promoted or info.promoted
        return replace(self, fence=fence, promoted=promoted, former=self.fence if was_cleared else 0)
