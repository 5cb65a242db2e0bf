"""FastStream over Redis: ``broker.request`` to a channel subscriber.

As in https://faststream.ag2.ai/latest/redis/rpc/. Every request subscribes on a connection of its own, so the pool is
raised to what is in flight, and the socket timeout of redis-py 8 is turned off, which would end an idle subscriber.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ..load import Call
from .base import Peer, absent, driven_by, embedded_server, served_by

NAME = "faststream"
QUIET = logging.getLogger("bench.faststream")


def _broker(address: str) -> Any:
    from faststream.redis import RedisBroker

    QUIET.setLevel(logging.ERROR)
    return RedisBroker(address, max_connections=4096, socket_timeout=None, logger=QUIET)


async def serve(address: str) -> None:
    """Answer every request with its message. Cancelling is safe: the broker is closed."""
    from faststream import FastStream

    broker = _broker(address)

    async def echo(message: dict[str, Any]) -> dict[str, Any]:
        return message

    broker.subscriber("echo")(echo)
    await FastStream(broker, logger=QUIET).run()


@asynccontextmanager
async def client(address: str) -> AsyncIterator[Call]:
    """Yield a function that makes a call."""
    async with _broker(address) as broker:

        async def call(body: str) -> object:
            reply = await broker.request({"type": "echo", "body": body}, "echo", timeout=10)
            return await reply.decode()

        yield call


PEER = Peer(NAME, lambda: absent("faststream"), embedded_server, served_by(NAME), driven_by(NAME), 256)
