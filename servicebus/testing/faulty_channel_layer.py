"""A Channels layer that misbehaves when it is told to, around any other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from channels.exceptions import ChannelFull
from channels.layers import channel_layers

from .fault_plan import Mischief

Go = Callable[[str, dict[str, Any]], Awaitable[None]]


class HarnessChannelLayer:
    """All that ``layer`` is, but for what ``mischief`` orders for messages sent to channels and groups.

    A refused group message raises ChannelFull too, which no good layer does: it stands for a server that is gone.
    """

    def __init__(self, layer: Any, mischief: Mischief | None = None) -> None:
        self._layer, self.mischief = layer, mischief or Mischief()
        self._delayed: set[asyncio.Task[None]] = set()

    def __getattr__(self, name: str) -> Any:
        # Groups, flush, extensions and whatever else it may have: nothing here is wrong with those.
        return getattr(self._layer, name)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Cancelling is as safe as that of the other layer: a delayed message is sent all the same."""
        await self._misbehaving(self._layer.send, channel, message)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Cancelling is as safe as that of the other layer: a delayed message is sent all the same."""
        await self._misbehaving(self._layer.group_send, group, message)

    async def settled(self) -> None:
        """Wait until all delayed messages have been sent. Raises what one that failed raised. Cancelling is safe."""
        await asyncio.gather(*map(asyncio.shield, self._delayed))

    async def _misbehaving(self, go: Go, where: str, message: dict[str, Any]) -> None:
        order = self.mischief.next(where)
        match order.act:
            case "refuse":
                raise ChannelFull
            case "delay":
                # It is what it was when it was sent, whatever its sender does with it.
                self._own(self._later(order.seconds, go, where, dict(message)))
            case "duplicate":
                await go(where, message)
                await go(where, message)
            case "pass":
                await go(where, message)

    async def _later(self, seconds: float, go: Go, where: str, message: dict[str, Any]) -> None:
        await asyncio.sleep(seconds)
        await go(where, message)

    def _own(self, sending: Any) -> None:
        task = asyncio.get_running_loop().create_task(sending)
        self._delayed.add(task)
        task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        # One that failed stays, for `settled` to say so.
        if task.cancelled() or task.exception() is None:
            self._delayed.discard(task)


@contextmanager
def misbehaving(alias: str = "default") -> Iterator[Mischief]:
    """In this block the site's channel layer is a harness around what it was; the orders are the block's."""
    harness = HarnessChannelLayer(channel_layers[alias])
    channel_layers.set(alias, harness)
    try:
        yield harness.mischief
    finally:
        channel_layers.set(alias, harness._layer)
