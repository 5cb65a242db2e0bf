"""The worker of the ``channels_redis`` peer: what a Channels consumer does, without the consumer."""

from __future__ import annotations

import asyncio
import sys

from channels_redis.core import RedisChannelLayer

from servicebus.loops import loop_factory

from .peers import channels_redis_host


async def serve(url: str) -> None:
    layer = RedisChannelLayer(hosts=[channels_redis_host(url)], capacity=100_000)
    while True:
        message = await layer.receive("echo.request")
        await layer.send(message["reply_channel"], {"type": "reply", "body": message["body"]})


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(sys.argv[1]))
