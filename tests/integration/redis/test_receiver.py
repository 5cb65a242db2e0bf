from __future__ import annotations

import asyncio

import pytest

from servicebus.layers.redis import RedisChannelLayer
from servicebus.layers.redis.schema.keys import Keys
from servicebus.testing.servers import Server

from ...support.timing import MS, eventually

KEY = Keys("asgi").messages("a")


async def test_what_is_sent_while_a_reader_leaves_its_connection_is_not_lost(
    own_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """A server pops for a connection whose end it has not seen yet, so a reader that leaves one asks for nothing."""
    layer, sender = RedisChannelLayer([own_server.url]), RedisChannelLayer([own_server.url])
    await sender.send("another", {})
    receiving = [asyncio.create_task(layer.receive("a"))]
    while not (reader := [id for id, name in own_server.clients().items() if name.endswith("-a")]):
        await asyncio.sleep(MS)
    own_server.run("SET", KEY, "no list")

    def is_refused() -> bool:
        own_server.run("CLIENT", "UNBLOCK", reader[0])  # ends a pop that was there before the key: the next is refused
        return "cannot receive from a: WRONGTYPE" in caplog.text

    await eventually(is_refused)
    own_server.run("DEL", KEY)
    receiving.append(asyncio.create_task(layer.receive("a")))  # the reader is wanted again
    await asyncio.sleep(5 * MS)
    with own_server.standing_still():
        sending = asyncio.create_task(sender.send("a", {"n": 1}))
        await asyncio.sleep(100 * MS)
    await sending
    done, waiting = await asyncio.wait(receiving, timeout=3.0, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.wait(receiving)
    await asyncio.gather(layer.close_pools(), sender.close_pools())
    assert [task.result() for task in done] == [{"n": 1}]
