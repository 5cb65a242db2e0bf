"""The readers of the normal channels that consumers wait for. I/O thread only."""

from __future__ import annotations

import asyncio

from .channel_reader import ChannelReader, Spawn
from .drop_counters import DropCounters
from .mailboxes import Mailboxes
from .shards import Shards

CLOSE_IDLE_AFTER = 10.0
"""Seconds without a waiting consumer after which the reader of a channel, which has a connection, is closed."""


class ReaderTable:
    """Channel to reader. A reader is opened at the first demand for its channel.

    Args:
        shards: the servers.
        mailboxes: where messages go.
        counters: counts what is dropped.
        spawn: starts the tasks of the readers.
    """

    def __init__(self, shards: Shards, mailboxes: Mailboxes, counters: DropCounters, spawn: Spawn) -> None:
        self._shards = shards
        self._mailboxes = mailboxes
        self._counters = counters
        self._spawn = spawn
        # Each task ends when the server of its channel has been connected, with the reader.
        self._readers: dict[str, asyncio.Task[ChannelReader]] = {}

    def add_demand(self, channel: str) -> None:
        """A consumer waits for ``channel``: read it."""
        task = self._readers.get(channel)
        if task is None:
            self._readers[channel] = self._spawn(self._open(channel))
        elif task.done():
            task.result().add_demand()

    def drop_demand(self, channel: str) -> None:
        """A consumer that waited for ``channel`` went away."""
        task = self._readers.get(channel)
        if task is not None and task.done():
            task.result().drop_demand()

    async def settled(self) -> None:
        """Return when no reader takes messages or gives them back. Cancelling is safe."""
        for reader in self._open_readers():
            await reader.settled()

    async def stop(self) -> None:
        """Stop all readers, and give back what no consumer has read. Cancelling leaves readers half stopped."""
        await asyncio.gather(*(reader.stop() for reader in self._open_readers()))

    async def close_idle(self) -> None:
        """Close readers whose channels no consumer has waited for lately. Cancelling may leave one half stopped."""
        idle_since = asyncio.get_running_loop().time() - CLOSE_IDLE_AFTER
        for channel, task in list(self._readers.items()):
            if task.done() and task.result().demanded_at < idle_since and not self._mailboxes.waiting(channel):
                del self._readers[channel]
                await task.result().stop()

    async def _open(self, channel: str) -> ChannelReader:
        shard = await self._shards.until_opened(channel)
        reader = ChannelReader(shard, self._mailboxes, channel, self._counters, self._spawn)
        reader.add_demand()
        return reader

    def _open_readers(self) -> list[ChannelReader]:
        done = [task for task in self._readers.values() if task.done() and not task.cancelled()]
        return [task.result() for task in done]
