"""Commands for messages that a process holds: fetched from a server, and not handed to a consumer yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import hiredis

from ..errors import SendUnknown
from ..layers.redis.connection.connection import pack
from ..layers.redis.layer import RedisLayer
from ..layers.redis.schema.scripts import RELEASE, RESTORE, TAKE, TAKEN, Script

COUNT_OUTLIVES_MS = 1000
"""Milliseconds that the count of a channel is kept after its last message has expired: clocks run at their own pace."""
HOLD_MS = 5000
"""Milliseconds after which messages that a process has taken no longer count: the process has died, or hangs."""


class HeldMessages:
    """Takes messages of normal channels ahead of their consumers, and reports what has become of held messages.

    Coroutines raise Unavailable when the command did not run, and SendUnknown when it may have run.

    Args:
        layer: the layer of the server, open.
        client: the name of this process, under which the server counts.
        expiry: seconds that a message may lie unread.
    """

    def __init__(self, layer: RedisLayer, client: str, expiry: float) -> None:
        self._nodes = layer.nodes
        self._keys = layer.keys
        self._client = client
        # How long the server keeps a count that nothing changes, in milliseconds.
        self._count_ms = int(expiry * 1000) + COUNT_OUTLIVES_MS

    async def take(self, channel: str, most: int) -> list[bytes]:
        """Pop at once what a normal channel has, up to ``most``. It goes on counting against the capacity.

        Cancelling is not safe: messages that were popped are lost.

        Raises:
            Unavailable: the server cannot be asked.
            SendUnknown: its answer was lost, or is none that the script gives.
        """
        list_key, held = self._keys.messages(channel), self._keys.counts(channel)
        if (asked := self._nodes.pipeline(channel)) is not None:
            asked.verify()
        frames: list[bytes] = await self._nodes.execute(
            channel, b"EVALSHA", TAKE.sha, 2, list_key, held, most, self._client, HOLD_MS
        )
        pipeline = self._nodes.pipeline(channel)
        if type(frames) is not list or not all(type(frame) is bytes for frame in frames):
            if pipeline is not None:
                pipeline.abort()
            raise SendUnknown(channel, "the connection got out of step")
        connection = pipeline.link.connection if pipeline is not None else None
        # Frames that moved to this primary with their slot get its fence.
        return frames if connection is None else self._nodes.adopted(frames, connection.greeting)

    def release(self, channel: str, count: int) -> None:
        """``count`` of the messages that ``take`` brought have been handed over. Nothing waits for the answer."""
        self._run(channel, RELEASE, 1, self._keys.counts(channel), self._client, count)

    async def restore(self, channel: str, frames: list[bytes], held: int) -> None:
        """Put frames that were popped and not delivered back to the head of their channel.

        Cancelling is safe: the frames may or may not be back in the channel.

        Args:
            channel: the channel.
            frames: the frames, oldest first.
            held: how many of them ``take`` has brought.
        """
        keys = (self._keys.messages(channel), self._keys.counts(channel))
        newest_first = reversed(frames)
        await self._nodes.execute(
            channel, b"EVALSHA", RESTORE.sha, 2, *keys, self._count_ms, self._client, held, *newest_first
        )

    def taken(self, inbox: str, counts: Mapping[str, int], on_failure: Callable[[], None]) -> None:
        """Messages of an inbox are no longer held. Nothing waits for the answer.

        Args:
            inbox: the inbox.
            counts: local name to the number of messages.
            on_failure: called when the server may not have applied this.
        """
        pairs = [part for local, count in counts.items() for part in (local, count)]
        self._run(inbox, TAKEN, 1, self._keys.counts(inbox), self._count_ms, *pairs, on_failure=on_failure)

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
                self._nodes.write(name, pack((b"EVAL", script.source, *arguments)), ignore_answer)
            elif isinstance(reply, Exception):
                on_failure()

        self._nodes.write(name, pack((b"EVALSHA", script.sha, *arguments)), answer)


def ignore_answer(reply: object) -> None:
    """Do nothing: counts and registrations that were not applied end by themselves."""
