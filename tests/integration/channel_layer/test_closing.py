"""A layer that is closed while it is used, or while it connects: nothing hangs, is lost, or is said to be otherwise."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from servicebus import ServiceBusError
from servicebus.channel_layer.engine import Engine
from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import Server

from ...support.channel_tools import (
    Make,
    nothing,
    numbers,
    python,
    received,
)
from ...support.timing import allowed


@pytest.fixture
def deaf_url() -> Iterator[str]:
    """A server that answers no attempt to connect: as many wait as it lets wait."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.02, 0.05, 0.1])
async def test_a_layer_that_is_still_connecting_can_be_closed(deaf_url: str, delay: float) -> None:
    layer = RedisChannelLayer([deaf_url])
    channel = await layer.new_channel()
    receives = [asyncio.create_task(layer.receive(name)) for name in ("normal", channel)]
    send = asyncio.create_task(layer.send("normal", {"type": "a"}))
    await asyncio.sleep(delay)
    await asyncio.wait_for(layer.close_pools(), allowed(2.0))
    for task in (*receives, send):
        task.cancel()
    await asyncio.gather(*receives, send, return_exceptions=True)
    await asyncio.wait_for(layer.close_pools(), allowed(2.0))


async def test_a_layer_that_is_used_again_while_it_closes_goes_on_counting(make: Make) -> None:
    layer, other = make(), make()
    await other.send("normal", {"type": "a", "n": 0})
    await received(layer, "normal")  # a reader, which takes a moment to stop
    channel = await layer.new_channel()
    closing = asyncio.create_task(layer.close_pools())
    await asyncio.sleep(0)
    receiving = asyncio.create_task(layer.receive(channel))
    await closing
    await other.send(channel, {"type": "a", "n": 1})
    await receiving
    for n in range(300):  # three times its capacity
        await other.send(channel, {"type": "a", "n": n})
        assert await numbers(layer, channel, 1) == [n]


async def test_a_receive_that_meets_a_close_gets_the_next_message(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, other = make(), make()
    await layer.send("normal", {"type": "a", "n": 0})
    await received(layer, "normal")
    at_it, closed, is_read = threading.Event(), threading.Event(), Engine.is_read

    def slow(engine: Engine, channel: str) -> bool:
        if threading.current_thread().name == "late":
            at_it.set()
            closed.wait(10)
        return is_read(engine, channel)

    monkeypatch.setattr(Engine, "is_read", slow)
    got: list[Any] = []
    late = threading.Thread(target=lambda: got.append(asyncio.run(received(layer, "other"))), name="late")
    late.start()
    await asyncio.to_thread(at_it.wait, 10)
    await layer.close_pools()
    closed.set()
    await other.send("other", {"type": "a", "n": 1})
    await asyncio.to_thread(late.join)
    assert got == [{"type": "a", "n": 1}]


async def test_sends_during_a_close_are_sent(server: Server) -> None:
    for turn in range(30):
        layer = RedisChannelLayer([server.url], capacity=10_000)
        sends = [asyncio.create_task(layer.send("a", {"type": "a", "n": n})) for n in range(50)]
        await asyncio.sleep(0.0002 * turn)
        await layer.close_pools()
        assert set(await asyncio.gather(*sends, return_exceptions=True)) == {None}
        assert await numbers(layer, "a", 50) == list(range(50))
        await layer.close_pools()


async def test_a_channel_added_to_a_group_during_a_close_is_in_it(server: Server) -> None:
    for turn in range(20):
        layer, other = RedisChannelLayer([server.url]), RedisChannelLayer([server.url])
        channel = await layer.new_channel()
        joining = asyncio.create_task(layer.group_add("g", channel))
        await asyncio.sleep(0.0005 * turn)
        await layer.close_pools()
        await asyncio.wait_for(joining, allowed(5.0))
        await other.group_send("g", {"type": "a", "n": turn})
        assert await numbers(layer, channel, 1) == [turn]
        await layer.close_pools()
        await other.close_pools()


async def test_a_group_message_that_one_member_got_is_not_reported_as_unsent(make: Make) -> None:
    layer, other = make(), make()
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    await other.group_send("g", {"type": "a", "n": 0})
    await received(layer, channel)
    for turn in range(1, 21):
        engine = other._process.engine
        assert engine is not None
        engine.io_thread.post(abort_all, engine)
        await asyncio.sleep(0.0003 * (turn % 4))
        try:
            await other.group_send("g", {"type": "a", "n": turn})
        except ServiceBusError as error:
            if error.executed == "no":
                await nothing(layer, channel, allowed(0.5))
                continue
        assert await numbers(layer, channel, 1) == [turn]


def abort_all(engine: Engine) -> None:
    shard = engine.shards.connected("g")
    assert shard is not None
    for pipeline in shard.layer.nodes.pipelines():
        pipeline.abort()


async def test_a_send_after_the_interpreter_began_to_end_is_refused(server: Server) -> None:
    code = """
import atexit, asyncio, sys
def late():
    try:
        asyncio.run(layer.send("a", {"type": "a"}))
    except Exception as error:
        print(type(error).__name__, error)
atexit.register(late)
from servicebus.layers.redis import RedisChannelLayer
layer = RedisChannelLayer([sys.argv[1]])
asyncio.run(layer.send("a", {"type": "a"}))
"""
    ended = await asyncio.to_thread(python, code, server.url)
    assert (ended.stdout, ended.stderr) == ("Unavailable the interpreter ends\n", "")
