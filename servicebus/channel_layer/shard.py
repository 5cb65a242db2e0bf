"""One server as the Channels side needs it: the Redis layer, and what groups, inboxes and flush ask of the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import hiredis

from ..layers.delivery import Delivery
from ..layers.redis.connection.connection import Connection, pack
from ..layers.redis.layer import RedisLayer
from ..layers.redis.schema.scripts import (
    REGISTER,
    RELEASE,
    RESTORE,
    TAKE,
    TAKEN,
    Script,
)
from ..layers.redis.sending.pipeline import Pipeline
from .direct_write import DirectWriteConnection
from .profile import Profile

SCAN_COUNT = 1000
JOINING = "joining"
HOLD_MS = 5000


class Shard(RedisLayer):
    """Coroutines raise Unavailable or SendUnknown; cancelling is safe, and leaves it open whether it was done.

    ``client`` is the process, ``joined`` says what groups it is in here: a server that comes back is told.
    """

    connection_kind = DirectWriteConnection

    def __init__(self, profile: Profile, number: int, joined: Callable[[], Iterable[str]]) -> None:
        super().__init__(profile.targets[number], profile.prefix, profile.limits, "channels")
        self.client, self._joined = profile.client, joined
        self.group_expiry_ms = int(profile.group_expiry * 1000)

    def push_directly(self, delivery: Delivery, fence: int) -> bool:
        """Send a frame at once, from any thread, if nothing else is on its way. ``fence``: what it was built under."""
        pipeline = self._nodes.direct(delivery.channel)
        connection = pipeline.idle if pipeline is not None else None
        if pipeline is None or not isinstance(connection, DirectWriteConnection) or connection.outstanding:
            return False
        return connection.greeting.fence == fence and connection.write_directly(*pipeline.packed(delivery))

    def now_ms(self) -> int:
        """The server's clock, from any thread: that of the loop stands still while the I/O thread sleeps."""
        return int(time.monotonic() * 1000 + self._server_clock.offset_ms)

    def local_instant(self, server_ms: int) -> float:
        """An instant on the server's clock on the monotonic clock of this machine, in seconds."""
        return (server_ms - self._server_clock.offset_ms) / 1000

    async def take(self, channel: str, most: int) -> list[bytes]:
        """Pop at once what is there of a normal channel; it goes on counting against the capacity."""
        list_key, held = self._keys.messages(channel), self._keys.counts(channel)
        frames: list[bytes] = await self._nodes.execute(
            channel, b"EVALSHA", TAKE.sha, 2, list_key, held, most, self.client, HOLD_MS
        )
        return self._adopted(channel, frames)

    def release(self, channel: str, count: int) -> None:
        """That many of the frames that ``take`` brought have been handed over."""
        self._run(channel, RELEASE, 1, self._keys.counts(channel), self.client, count)

    async def restore(self, channel: str, frames: list[bytes], held: int) -> None:
        """Put frames that were popped and not delivered back to the head of their channel; ``frames`` oldest first."""
        keys = (self._keys.messages(channel), self._keys.counts(channel))
        await self._nodes.execute(
            channel, b"EVALSHA", RESTORE.sha, 2, *keys, self._ttl_ms, self.client, held, *reversed(frames)
        )

    def taken(self, inbox: str, counts: Mapping[str, int], on_failure: Callable[[], None]) -> None:
        """That many messages of each local name are no longer waiting. ``on_failure``: the server may not know it."""
        pairs = [part for local, count in counts.items() for part in (local, count)]
        self._run(inbox, TAKEN, 1, self._keys.counts(inbox), self._ttl_ms, *pairs, on_failure=on_failure)

    async def expect_worker(self, inbox: str) -> None:
        """Let ``inbox`` count as alive until its process has had time to say so itself."""
        expiry_ms = int(self._limits.expiry * 1000)
        await self._nodes.execute(inbox, b"EVALSHA", REGISTER.sha, 1, self._keys.workers(inbox), JOINING, expiry_ms)

    async def join(self, group: str, member: str) -> None:
        """Add an inbox or a normal channel to a group, for the expiry of groups."""
        await self._nodes.execute(group, *self._join(group, member))

    async def leave_group(self, group: str, member: str) -> None:
        """Remove an inbox or a normal channel from a group."""
        await self._nodes.execute(group, b"ZREM", self._keys.group(group), member)

    async def inboxes(self) -> list[str]:
        """The inboxes of all processes that are alive."""
        return [self._keys.list_of(key) for key in await self._scan("{*!}:workers")]

    async def flush(self) -> None:
        """Remove every message, count and group under the prefix. Who is alive stays known."""
        for pattern in ("{*", "group:{*"):
            keys = [key for key in await self._scan(pattern) if not key.endswith(b":workers")]
            for at in range(0, len(keys), SCAN_COUNT):
                some = keys[at : at + SCAN_COUNT]
                await asyncio.gather(*(self._nodes.execute(self._keys.list_of(key), b"UNLINK", key) for key in some))

    def _up(self, pipeline: Pipeline, connection: Connection) -> None:
        super()._up(pipeline, connection)
        for group in self._joined():
            if self._nodes.pipeline(group) is pipeline:
                connection.write(pack(self._join(group, f"{self.client}!")), _ignored)

    def _run(
        self,
        name: str,
        script: Script,
        *arguments: bytes | str | int,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        """Run a script behind everything sent to ``name`` so far, and wait for nothing."""

        def answer(reply: Any) -> None:
            if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
                self._nodes.write(name, pack((b"EVAL", script.source, *arguments)), _ignored)
            elif isinstance(reply, Exception):
                on_failure()

        self._nodes.write(name, pack((b"EVALSHA", script.sha, *arguments)), answer)

    def _join(self, group: str, member: str) -> tuple[bytes | str | int, ...]:
        return (b"EVALSHA", REGISTER.sha, 1, self._keys.group(group), member, self.group_expiry_ms)

    async def _scan(self, pattern: str) -> list[bytes]:
        keys: set[bytes] = set()
        match = self._keys.pattern(pattern)
        for pipeline in self._nodes.pipelines():
            cursor = b""
            while cursor != b"0":
                cursor, found = await pipeline.execute(b"SCAN", cursor or 0, b"MATCH", match, b"COUNT", SCAN_COUNT)
                keys.update(found)
        return sorted(keys)


def _ignored(reply: object) -> None:
    """Counts correct themselves: they end with what they count."""
