"""channels_redis both ways: the request on a normal channel, each caller's replies on a channel of its own.

It is the layer of https://channels.readthedocs.io/en/stable/topics/channel_layers.html, configured as in
https://github.com/django/channels_redis. Capacity and connections are raised so that it does not refuse. The socket
timeout of redis-py 8 is turned off, because it would end an idle receive, and its time to connect is raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..load import Call
from .base import Peer, absent, driven_by, embedded_server, served_by

NAME = "channels_redis"


MAX_CONNECTIONS = 4096
"""Connections of one pool: one for each call that waits, at the highest concurrency that a scenario tries."""
CAPACITY = 100_000
"""Messages per channel: more than any scenario leaves unread."""
CONNECT_TIMEOUT = 60.0
"""Seconds to connect. redis-py 8 allows 5, too few for a thousand connections at once on a busy machine: the server
accepts some hundred at a time."""


def host(url: str) -> dict[str, object]:
    """Return one entry of the layer's ``hosts``."""
    return {
        "address": url,
        "max_connections": MAX_CONNECTIONS,
        "socket_timeout": None,
        "socket_connect_timeout": CONNECT_TIMEOUT,
    }


async def serve(address: str) -> None:
    """Answer every request with its message. Cancelling is safe: the layer is closed."""
    from channels_redis.core import RedisChannelLayer

    layer = RedisChannelLayer(hosts=[host(address)], capacity=CAPACITY)
    try:
        while True:
            message = await layer.receive("echo.request")
            await layer.send(message["reply_channel"], {"type": "reply", "body": message["body"]})
    finally:
        await layer.close_pools()


@asynccontextmanager
async def client(address: str) -> AsyncIterator[Call]:
    """Yield a function that makes a call."""
    from channels_redis.core import RedisChannelLayer

    layer = RedisChannelLayer(hosts=[host(address)], capacity=CAPACITY)
    free: list[str] = []

    async def call(body: str) -> object:
        channel = free.pop() if free else await layer.new_channel()
        await layer.send("echo.request", {"type": "echo", "reply_channel": channel, "body": body})
        reply = await asyncio.wait_for(layer.receive(channel), 10)
        free.append(channel)
        return reply

    try:
        yield call
    finally:
        await layer.close_pools()


PEER = Peer(NAME, lambda: absent("channels_redis"), embedded_server, served_by(NAME), driven_by(NAME), 256)
