"""The floor with a task per request: a bus in asyncio needs that task, because a handler may wait.

Its figures lie between the floor and ours. The difference to the floor is the price of asyncio, the rest is ours.
"""

from __future__ import annotations

import asyncio

from ..peers.base import Peer, driven_by, embedded_server, served_by
from .batched import REPLIES, REQUESTS, Frame, Sender, Taker, client, connect, decode, encode

NAME = "floor-tasks"

__all__ = ["PEER", "client", "serve"]


async def echo(message: object) -> object:
    """Return the message. Cancelling is safe: it never waits."""
    return message


class Worker:
    """Handles each frame in a task. The replies of one turn of the event loop leave together."""

    def __init__(self, replies: Sender) -> None:
        self._replies = replies
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._frames: list[bytes] = []

    def deliver(self, frames: list[bytes]) -> None:
        """Start a task for each frame."""
        for frame in frames:
            task = self._loop.create_task(self._handle(decode(frame)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _handle(self, request: Frame) -> None:
        reply = encode([request.number, await echo(request.message)])
        if not self._frames:
            self._loop.call_soon(self._flush)
        self._frames.append(reply)

    def _flush(self) -> None:
        frames, self._frames = self._frames, []
        self._replies.push(frames)


async def serve(address: str) -> None:
    """Answer every request from a task. Cancelling is safe: the process ends then."""
    worker = Worker(await connect(address, lambda: Sender(REPLIES)))
    await connect(address, lambda: Taker(REQUESTS, worker.deliver))
    await asyncio.Event().wait()


PEER = Peer(NAME, lambda: "", embedded_server, served_by(NAME), driven_by(NAME))
