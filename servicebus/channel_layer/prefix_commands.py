"""Commands for everything under the prefix of a layer on one server."""

from __future__ import annotations

import asyncio

from ..layers.redis.layer import RedisLayer

KEYS_AT_ONCE = 1000
"""Keys that one SCAN looks at, and that are removed together: a few milliseconds of the server's time."""


class PrefixCommands:
    """Finds and removes keys.

    Cancelling a coroutine is safe: some keys may have been removed. Coroutines raise Unavailable when a command did not
    run, and SendUnknown when it may have run.

    Args:
        layer: the layer of the server, open.
    """

    def __init__(self, layer: RedisLayer) -> None:
        self._nodes = layer.nodes
        self._keys = layer.keys

    async def inboxes(self) -> list[str]:
        """The inboxes of all processes that are alive. Cancelling is safe: nothing changes."""
        return [self._keys.list_of(key) for key in await self._scan("{*!}:workers")]

    async def flush(self) -> None:
        """Remove every message, count and group. Registrations of processes stay. Cancelling is safe: see above."""
        for pattern in ("{*", "group:{*"):
            keys = [key for key in await self._scan(pattern) if not key.endswith(b":workers")]
            for at in range(0, len(keys), KEYS_AT_ONCE):
                some = keys[at : at + KEYS_AT_ONCE]
                await asyncio.gather(*(self._nodes.execute(self._keys.list_of(key), b"UNLINK", key) for key in some))

    async def _scan(self, pattern: str) -> list[bytes]:
        keys: set[bytes] = set()
        match = self._keys.pattern(pattern)
        for pipeline in self._nodes.pipelines():
            cursor = b""
            while cursor != b"0":
                cursor, found = await pipeline.execute(b"SCAN", cursor or 0, b"MATCH", match, b"COUNT", KEYS_AT_ONCE)
                keys.update(found)
        return sorted(keys)
