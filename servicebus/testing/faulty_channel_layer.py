"""A Channels layer that drops, delays, duplicates or refuses messages as a fault plan says, around any other layer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from channels.exceptions import ChannelFull
from channels.layers import channel_layers

from .fault_plan import FaultPlan

SendMessage = Callable[[str, dict[str, Any]], Awaitable[None]]
"""``send`` or ``group_send`` of the wrapped layer."""


class FaultyChannelLayer:
    """A layer that applies a fault plan to what is sent to channels and groups, and otherwise is the wrapped layer.

    A refused group message raises ChannelFull too, which no real layer does: the error stands for an unreachable
    server.

    Args:
        layer: any Channels layer.
        faults: the plan. Without one the layer makes an empty plan.

    Attributes:
        faults: the plan; add rules at any time.
    """

    def __init__(self, layer: Any, faults: FaultPlan | None = None) -> None:
        self._layer = layer
        self.faults = faults or FaultPlan()
        # The delayed messages that were not sent yet, and those whose sending failed.
        self._delayed: set[asyncio.Task[None]] = set()

    def __getattr__(self, name: str) -> Any:
        # Groups, flush, extensions and everything else that the wrapped layer has: no fault applies to these.
        return getattr(self._layer, name)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send to a channel. Cancelling is as safe as for the wrapped layer: a delayed message is sent all the same.

        Raises:
            channels.exceptions.ChannelFull: a rule refuses the message, or the channel is full.
        """
        await self._apply_rule(self._layer.send, channel, message)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send to a group. Cancelling is as safe as for the wrapped layer: a delayed message is sent all the same.

        Raises:
            channels.exceptions.ChannelFull: a rule refuses the message.
        """
        await self._apply_rule(self._layer.group_send, group, message)

    async def settled(self) -> None:
        """Wait until all delayed messages have been sent. Raises the first error of their sending.

        Cancelling is safe: the messages are sent all the same.
        """
        await asyncio.gather(*map(asyncio.shield, self._delayed))

    async def _apply_rule(self, send: SendMessage, where: str, message: dict[str, Any]) -> None:
        rule = self.faults.next(where)
        match rule.action:
            case "refuse":
                raise ChannelFull
            case "delay":
                # A copy: the sender may change the message before it is sent.
                self._start_delayed(self._send_later(rule.seconds, send, where, dict(message)))
            case "duplicate":
                await send(where, message)
                await send(where, message)
            case "pass":
                await send(where, message)

    async def _send_later(self, seconds: float, send: SendMessage, where: str, message: dict[str, Any]) -> None:
        await asyncio.sleep(seconds)
        await send(where, message)

    def _start_delayed(self, sending: Coroutine[Any, Any, None]) -> None:
        # Not a TaskSet: a task that failed has to stay, so that `settled` raises its error.
        task = asyncio.get_running_loop().create_task(sending)
        self._delayed.add(task)
        task.add_done_callback(self._forget_unless_failed)

    def _forget_unless_failed(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            self._delayed.discard(task)


@contextmanager
def misbehaving(alias: str = "default") -> Iterator[FaultPlan]:
    """Wrap the site's channel layer in a faulty one for the duration of a block.

    Args:
        alias: the key of the layer in ``CHANNEL_LAYERS``.

    Yields:
        The plan of the faulty layer, without rules.
    """
    wrapped = channel_layers[alias]
    faulty = FaultyChannelLayer(wrapped)
    channel_layers.set(alias, faulty)
    try:
        yield faulty.faults
    finally:
        channel_layers.set(alias, wrapped)
