"""The same pair with what a bus in asyncio cannot do without: a task per request, because a handler may wait.

It stands between the floor and us: what lies below it is the price of asyncio, what lies above it is ours.
"""

from __future__ import annotations

import asyncio

from ..peers.base import Peer, driven_by, embedded_server, served_by
from .batched import REPLIES, REQUESTS, Frame, Sender, Taker, client, connect, decode, encode

NAME = "floor-tasks"

__all__ = ["PEER", "client", "serve"]


async def echo(message: object) -> object:
    return message


class Worker:
    """Handles each frame in a task; what is done in one tick is answered in one."""

    def __init__(self, replies: Sender) -> None:
        self._replies = replies
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._frames: list[bytes] = []

    def deliver(self, frames: list[bytes]) -> None:
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
    worker = Worker(await connect(address, lambda: Sender(REPLIES)))
    await connect(address, lambda: Taker(REQUESTS, worker.deliver))
    await asyncio.Event().wait()


PEER = Peer(NAME, lambda: "", embedded_server, served_by(NAME), driven_by(NAME))
