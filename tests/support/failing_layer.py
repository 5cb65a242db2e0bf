"""A foreign channel layer that fails or hangs when a test tells it to."""

from __future__ import annotations

import asyncio
from typing import Any

from channels.layers import InMemoryChannelLayer


class FailingLayer(InMemoryChannelLayer):  # type: ignore[misc] # channels has no types
    """Channels' layer in memory. It counts what it is asked for.

    Attributes:
        send_error: what ``send`` and ``group_send`` raise.
        join_error: what ``group_add`` raises.
        receive_errors: what the next calls of ``receive`` raise, one each.
        hold: ``send`` waits until this event is set.
        sent: channel and message of each ``send`` that did not fail.
        joined: group and channel of each ``group_add``.
        receiving: how many calls of ``receive`` wait now, by channel.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.send_error: Exception | None = None
        self.join_error: Exception | None = None
        self.receive_errors: list[Exception] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.joined: list[tuple[str, str]] = []
        self.receiving: dict[str, int] = {}

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await self.hold.wait()
        if self.send_error is not None:
            raise self.send_error
        self.sent.append((channel, message))
        await super().send(channel, message)

    async def receive(self, channel: str) -> dict[str, Any]:
        if self.receive_errors:
            raise self.receive_errors.pop(0)
        self.receiving[channel] = self.receiving.get(channel, 0) + 1
        try:
            received: dict[str, Any] = await super().receive(channel)
        finally:
            self.receiving[channel] -= 1
        return received

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if self.send_error is not None:
            raise self.send_error
        await super().group_send(group, message)

    async def group_add(self, group: str, channel: str) -> None:
        self.joined.append((group, channel))
        if self.join_error is not None:
            raise self.join_error
        await super().group_add(group, channel)
