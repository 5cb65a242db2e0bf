"""The nats-py worker of the ``nats-py`` peer: one subscription, decode and encode as ours does."""

from __future__ import annotations

import asyncio
import sys

import msgspec
import nats
from nats.aio.msg import Msg

from servicebus.loops import loop_factory


async def serve(address: str) -> None:
    client = await nats.connect(address, max_reconnect_attempts=50, reconnect_time_wait=0.1)

    async def echo(message: Msg) -> None:
        await message.respond(msgspec.msgpack.encode(msgspec.msgpack.decode(message.data)))

    await client.subscribe("echo", queue="workers", cb=echo)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(sys.argv[1]))
