"""Commands for groups and registrations on one server."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..layers.redis.connection.connection import Connection, pack
from ..layers.redis.layer import RedisLayer
from ..layers.redis.schema.scripts import REGISTER
from ..layers.redis.sending.pipeline import Pipeline
from .held_messages import ignore_answer
from .profile import Profile

JOINING = "joining"
"""The worker ID that stands for a process which has not registered itself yet."""


class GroupCommands:
    """Changes which processes and normal channels a server lists under its groups.

    Cancelling a coroutine is safe; it stays open whether the command ran. Coroutines raise Unavailable when the command
    did not run, and SendUnknown when it may have run.

    Args:
        layer: the layer of the server. It may not be open yet when the object is made.
        profile: what the layer was configured with.
    """

    def __init__(self, layer: RedisLayer, profile: Profile) -> None:
        self._layer = layer
        self._inbox = profile.inbox
        self._expiry_ms = int(profile.limits.expiry * 1000)
        self._group_expiry_ms = int(profile.group_expiry * 1000)

    async def join(self, group: str, member: str) -> None:
        """Add an inbox or a normal channel to a group, for the expiry of groups. Cancelling is safe: see the class."""
        await self._layer.nodes.execute(group, *self._join(group, member))

    async def leave(self, group: str, member: str) -> None:
        """Remove an inbox or a normal channel from a group. Cancelling is safe: see the class."""
        await self._layer.nodes.execute(group, b"ZREM", self._layer.keys.group(group), member)

    async def expect_worker(self, inbox: str) -> None:
        """Let ``inbox`` count as alive until its process can have registered. Cancelling is safe: see the class."""
        key = self._layer.keys.workers(inbox)
        await self._layer.nodes.execute(inbox, b"EVALSHA", REGISTER.sha, 1, key, JOINING, self._expiry_ms)

    def join_again(self, pipeline: Pipeline, connection: Connection, groups: Iterable[str]) -> None:
        """On a new connection: register this process in ``groups``, because the server may have lost its memory."""
        for group in groups:
            if self._layer.nodes.pipeline(group) is pipeline:
                connection.write(pack(self._join(group, self._inbox)), ignore_answer)

    def _join(self, group: str, member: str) -> tuple[bytes | str | int, ...]:
        return (b"EVALSHA", REGISTER.sha, 1, self._layer.keys.group(group), member, self._group_expiry_ms)


class ConnectionHook:
    """Calls ``join_again`` for each new connection of a layer, which needs the hook before ``GroupCommands`` exists.

    Args:
        joined: the groups that this process has members of.

    Attributes:
        commands: registers this process. Set before the layer is opened.
    """

    commands: GroupCommands

    def __init__(self, joined: Callable[[], Iterable[str]]) -> None:
        self._joined = joined

    def __call__(self, pipeline: Pipeline, connection: Connection) -> None:
        self.commands.join_again(pipeline, connection, self._joined())
