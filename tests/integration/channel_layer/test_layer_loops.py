from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.consumer import AsyncConsumer, SyncConsumer
from channels.testing import ApplicationCommunicator

from servicebus.channel_layer.loop_bridge import LoopBridge, to_running_loop
from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import Server

from ...support.channel_tools import (
    Make,
    numbers,
    python,
    received,
)
from ...support.timing import LONG, eventually_sync


def in_loop(work: Callable[[], Any]) -> Any:
    return asyncio.run(work())


@pytest.mark.parametrize("local", [False, True])
def test_messages_fetched_in_one_loop_are_found_in_the_next(make_any: Make, local: bool) -> None:
    layer = make_any()
    channel = async_to_sync(layer.new_channel)() if local else "a"
    for n in range(20):
        async_to_sync(layer.send)(channel, {"n": n})
    assert [in_loop(lambda: received(layer, channel))["n"] for _ in range(20)] == list(range(20))


def test_the_first_of_two_channels_fetches_for_the_second(make_any: Make) -> None:
    layer = make_any()
    first, second = async_to_sync(layer.new_channel)(), async_to_sync(layer.new_channel)()
    async_to_sync(layer.send)(second, {"n": 2})
    async_to_sync(layer.send)(first, {"n": 1})
    assert async_to_sync(received)(layer, first)["n"] == 1
    assert async_to_sync(received)(layer, second)["n"] == 2


@pytest.mark.parametrize("local", [False, True])
def test_several_loops_receive_at_once(make_any: Make, local: bool) -> None:
    layer = make_any(capacity=1000)
    shared = async_to_sync(layer.new_channel)() if local else "a"
    got: list[int] = []

    async def work(own: str) -> None:
        for n in range(20):
            await layer.send(own, {"n": n})
            assert await numbers(layer, own, 1) == [n]
        got.extend(await numbers(layer, shared, 25))

    with ThreadPoolExecutor(8) as pool:
        owns = [async_to_sync(layer.new_channel)() for _ in range(8)]
        done = [pool.submit(asyncio.run, work(own)) for own in owns]
        for n in range(200):
            async_to_sync(layer.send)(shared, {"n": n})
        for one in done:
            one.result(timeout=20)
    assert sorted(got) == list(range(200))


def test_a_message_for_a_loop_that_was_closed_goes_to_the_next(plain: RedisChannelLayer) -> None:
    channel = async_to_sync(plain.new_channel)()
    loop = asyncio.new_event_loop()
    task = loop.create_task(plain.receive(channel))
    loop.run_until_complete(asyncio.sleep(0.05))
    loop.close()
    async_to_sync(plain.send)(channel, {"n": 1})
    assert async_to_sync(received)(plain, channel)["n"] == 1
    task._log_destroy_pending = False  # type: ignore[attr-defined] # left behind on purpose


def test_a_message_given_to_a_loop_that_stands_still_is_found_again(plain: RedisChannelLayer) -> None:
    channel = async_to_sync(plain.new_channel)()
    loop = asyncio.new_event_loop()
    task = loop.create_task(plain.receive(channel))
    loop.run_until_complete(asyncio.sleep(0.05))
    async_to_sync(plain.send)(channel, {"n": 1})
    eventually_sync(lambda: not plain._process.mailboxes.waiting(channel))
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    assert async_to_sync(received)(plain, channel)["n"] == 1


async def test_sync_code_in_async_code_in_sync_code(layer: RedisChannelLayer) -> None:
    channel = await layer.new_channel()

    def inner() -> dict[str, Any]:
        async_to_sync(layer.group_add)("g", channel)
        async_to_sync(layer.group_send)("g", {"n": 1})
        message: dict[str, Any] = async_to_sync(layer.receive)(channel)
        return message

    assert await sync_to_async(inner)() == {"n": 1}
    assert await sync_to_async(inner, thread_sensitive=False)() == {"n": 1}
    await layer.send(channel, {"n": 2})
    assert await sync_to_async(async_to_sync(layer.receive))(channel) == {"n": 2}


def test_threads_send_at_once_on_one_connection(make: Make, server: Server) -> None:
    layer = make(capacity=2000)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: async_to_sync(layer.send)("a", {"n": n}), range(500)))
    assert len(server.clients()) == 1
    assert sorted(async_to_sync(numbers)(layer, "a", 500)) == list(range(500))


async def test_close_pools_then_reuse(make_any: Make) -> None:
    layer = make_any()
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    for n in range(5):
        await layer.send(channel, {"n": n})
        await layer.send("a", {"n": n})
    assert await numbers(layer, channel, 2) == await numbers(layer, "a", 2) == [0, 1]
    for _ in range(2):
        await layer.close_pools()
        await layer.close()
    await layer.group_send("g", {"n": 5})
    assert await numbers(layer, channel, 4) == [2, 3, 4, 5]
    assert await numbers(layer, "a", 3) == [2, 3, 4]


async def test_a_receive_that_waits_goes_on_after_close_pools(make_any: Make) -> None:
    layer = make_any()
    channel = await layer.new_channel()
    waiting = [asyncio.ensure_future(layer.receive(name)) for name in (channel, "a")]
    await asyncio.sleep(0.05)
    await layer.close_pools()
    for name in (channel, "a"):
        await layer.send(name, {"n": 1})
    assert [(await asyncio.wait_for(one, LONG))["n"] for one in waiting] == [1, 1]


def test_closing_a_layer_that_was_never_used(make: Make) -> None:
    asyncio.run(make(hosts=[("nowhere.invalid", 1)]).close_pools())


def test_a_layer_that_is_gone_disconnects(server: Server) -> None:
    layer = RedisChannelLayer(hosts=[server.url])
    channel = async_to_sync(layer.new_channel)()
    async_to_sync(layer.send)(channel, {"n": 1})
    assert async_to_sync(received)(layer, channel)
    assert server.clients()
    del layer
    eventually_sync(lambda: not server.clients())


class Echo(AsyncConsumer):  # type: ignore[misc] # channels has no types
    channel_layer_alias = "default"

    async def test_join(self, message: dict[str, Any]) -> None:
        await self.channel_layer.group_add("g", self.channel_name)
        await self.send({"type": "joined"})

    async def test_shout(self, message: dict[str, Any]) -> None:
        await self.channel_layer.group_send("g", {"type": "test.heard", "n": message["n"]})

    async def test_heard(self, message: dict[str, Any]) -> None:
        await self.send({"type": "heard", "n": message["n"]})


class SyncEcho(SyncConsumer):  # type: ignore[misc] # channels has no types
    channel_layer_alias = "default"

    def test_join(self, message: dict[str, Any]) -> None:
        async_to_sync(self.channel_layer.group_add)("g", self.channel_name)
        self.send({"type": "joined"})

    def test_shout(self, message: dict[str, Any]) -> None:
        async_to_sync(self.channel_layer.group_send)("g", {"type": "test.heard", "n": message["n"]})

    def test_heard(self, message: dict[str, Any]) -> None:
        self.send({"type": "heard", "n": message["n"]})


@pytest.mark.parametrize("consumer", [Echo, SyncEcho])
async def test_consumers_talk_under_a_communicator(
    layer: RedisChannelLayer, monkeypatch: pytest.MonkeyPatch, consumer: Any
) -> None:
    monkeypatch.setattr("channels.consumer.get_channel_layer", lambda alias: layer)
    # Without Django's settings there are no databases to close connections to.
    monkeypatch.setattr("channels.db.close_old_connections", lambda: None)
    members = [ApplicationCommunicator(consumer.as_asgi(), {"type": "test"}) for _ in range(3)]
    for member in members:
        await member.send_input({"type": "test.join"})
        assert await member.receive_output(2) == {"type": "joined"}
    for n in range(5):
        await members[n % 3].send_input({"type": "test.shout", "n": n})
        for member in members:
            assert await member.receive_output(2) == {"type": "heard", "n": n}
    for member in members:
        member.stop()
    await asyncio.sleep(0.05)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_loop_bridge_keeps_no_loop_alive() -> None:
    import gc
    import weakref

    loop = asyncio.new_event_loop()
    bridge, gone = LoopBridge(loop), weakref.ref(loop)
    loop.close()
    del loop
    gc.collect()
    assert gone() is None
    assert bridge.post(print, None) is False


async def test_a_loop_bridge_calls_in_order_and_wakes_once() -> None:
    got: list[int] = []
    bridge = to_running_loop()
    assert bridge is to_running_loop()

    def post() -> None:
        for n in range(1000):
            assert bridge.post(got.append, n)

    thread = threading.Thread(target=post)
    thread.start()
    while thread.is_alive() or len(got) < 1000:
        await asyncio.sleep(0.001)
    assert got == list(range(1000))


LEAVES_NOTHING = """
import asyncio, sys, logging
from asgiref.sync import async_to_sync
from servicebus.layers.redis import RedisChannelLayer
logging.basicConfig(level=logging.WARNING)
layer = RedisChannelLayer(hosts=[sys.argv[1]])
channel = async_to_sync(layer.new_channel)()
for n in range(5):
    async_to_sync(layer.group_add)("g", channel)
    async_to_sync(layer.group_send)("g", {"n": n})
    async_to_sync(layer.send)("a", {"n": n})
    assert async_to_sync(layer.receive)(channel)["n"] == n
async def cancelled():
    waiting = [asyncio.ensure_future(layer.receive(channel)), asyncio.ensure_future(layer.receive("b"))]
    await asyncio.sleep(0.05)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
asyncio.run(cancelled())
async def pending():
    waiting = [asyncio.ensure_future(layer.receive(channel)), asyncio.ensure_future(layer.receive("b"))]
    await asyncio.sleep(0.05)
asyncio.run(pending())
assert async_to_sync(layer.receive)("a")["n"] == 0
exec(sys.argv[2])
print("end")
"""


@pytest.mark.parametrize(
    "last", ["", "async_to_sync(layer.close_pools)()", "async_to_sync(layer.flush)()", "del layer"]
)
def test_a_program_ends_quickly_and_says_nothing(server: Server, last: str) -> None:
    ended = python(LEAVES_NOTHING, server.url, last, timeout=20)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("end\n", "", 0)


def test_a_program_that_ends_gives_back_what_it_fetched(make: Make, server: Server) -> None:
    layer = make()
    for n in range(50):
        async_to_sync(layer.send)("a", {"n": n})
    code = """
import sys
from asgiref.sync import async_to_sync
from servicebus.layers.redis import RedisChannelLayer
layer = RedisChannelLayer(hosts=[sys.argv[1]])
async def some():
    for n in range(20):
        assert (await layer.receive("a"))["n"] == n
async_to_sync(some)()
"""
    ended = python(code, server.url)
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert async_to_sync(numbers)(layer, "a", 30) == list(range(20, 50))


def test_no_warning_is_raised_by_many_short_loops(plain: RedisChannelLayer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(50):
            asyncio.run(plain.send("a", {"n": n}))
        assert asyncio.run(numbers(plain, "a", 50)) == list(range(50))
