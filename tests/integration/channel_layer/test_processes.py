from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from channels.exceptions import ChannelFull

from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import Server

from ...support.channel_tools import (
    ROOT,
    SCALE,
    Make,
    fill,
    numbers,
    python,
    received,
)
from ...support.timing import LONG, eventually

WORKER = """
import asyncio, sys
from servicebus.layers.redis import RedisChannelLayer
layer = RedisChannelLayer(hosts=[sys.argv[1]], capacity=1_000_000)
async def main():
    print("ready", flush=True)
    got = []
    while (message := await layer.receive("work"))["n"] >= 0:
        got.append(str(message["n"]))
        if message.get("slow"):
            await asyncio.sleep(message["slow"])
    print(" ".join(got), flush=True)
asyncio.run(main())
"""

MEMBER = """
import asyncio, sys
from servicebus.layers.redis import RedisChannelLayer
layer = RedisChannelLayer(hosts=[sys.argv[1]])
async def main():
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    print("ready", channel, flush=True)
    while True:
        print((await layer.receive(channel))["n"], flush=True)
asyncio.run(main())
"""


@contextmanager
def program(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A program that ends with the block."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def send_all(layer: RedisChannelLayer, count: int) -> None:
    for start in range(0, count, 500):
        await asyncio.gather(*(layer.send("work", {"n": n}) for n in range(start, min(start + 500, count))))


@pytest.mark.parametrize("workers", [4, 16])
async def test_workers_of_one_channel_get_every_message_once(make: Make, server: Server, workers: int) -> None:
    count = int((20_000 if workers == 4 or SCALE > 1 else 5_000) * SCALE)
    layer = make(capacity=1_000_000)
    with ExitStack() as stack:
        processes = [stack.enter_context(program(WORKER, server.url)) for _ in range(workers)]
        for process in processes:
            assert await asyncio.to_thread(line, process) == "ready"
        await send_all(layer, count)
        while server.run("LLEN", "asgi:{work}"):
            await asyncio.sleep(0.02)
        for _ in processes:
            await layer.send("work", {"n": -1})
            await asyncio.sleep(0.02)
        lines = await asyncio.gather(*(asyncio.to_thread(line, process) for process in processes))
    got = Counter(int(number) for one in lines for number in one.split())
    assert set(got.values()) == {1}
    assert len(got) == count


async def test_a_slow_worker_does_not_hoard(make: Make, server: Server) -> None:
    layer = make(capacity=1000)
    await layer.send("work", {"n": 0, "slow": 0.0})
    with program(WORKER, server.url) as slow:
        assert await asyncio.to_thread(line, slow) == "ready"
        for n in range(1, 40):
            await layer.send("work", {"n": n, "slow": 0.0})
        for n in range(40, 100):
            await layer.send("work", {"n": n, "slow": 0.5})
        await eventually(lambda: 50 < server.run("LLEN", "asgi:{work}") < 60)
        assert len(await numbers(layer, "work", 50)) == 50


async def test_a_killed_process_stops_costing_within_seconds(make: Make, server: Server) -> None:
    layer = make()
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    with program(MEMBER, server.url) as dead, program(MEMBER, server.url) as alive:
        gone = (await asyncio.to_thread(line, dead)).split()[1]
        await asyncio.to_thread(line, alive)
        await layer.group_send("g", {"n": 1})
        assert await asyncio.to_thread(line, dead) == await asyncio.to_thread(line, alive) == "1"
        os.kill(dead.pid, signal.SIGKILL)
        dead.wait()
        inbox = f"{gone.partition('!')[0].rpartition('.')[2]}!"
        await eventually(lambda: not server.run("EXISTS", f"asgi:{{{inbox}}}:workers"), within=8)
        await layer.group_send("g", {"n": 2})
        await layer.group_send("g", {"n": 3})
        assert server.run("ZCARD", "asgi:group:{g}") == 2
        assert await asyncio.to_thread(line, alive) == "2"
        server.run("CONFIG", "RESETSTAT")
        await layer.group_send("g", {"n": 4})
        assert server.info("commandstats")["cmdstat_rpush"].startswith("calls=2,")
        assert await numbers(layer, channel, 4) == [1, 2, 3, 4]


async def test_a_fork_has_an_identity_of_its_own(server: Server) -> None:
    code = """
import asyncio, os, sys
from asgiref.sync import async_to_sync
from servicebus.layers.redis import RedisChannelLayer
layer = RedisChannelLayer(hosts=[sys.argv[1]])
unused = RedisChannelLayer(hosts=[sys.argv[1]])
channel = async_to_sync(layer.new_channel)()
parent = layer.client_prefix
async_to_sync(layer.group_add)("g", channel)
async_to_sync(layer.send)(channel, {"n": 1})
async_to_sync(layer.send)(channel, {"n": 2})
assert async_to_sync(layer.receive)(channel)["n"] == 1
pid = os.fork()
me = "child" if pid == 0 else "parent"
async def use():
    if pid == 0:
        assert layer.client_prefix != parent
        try:
            await layer.receive(channel)
        except AssertionError:
            pass
        else:
            raise SystemExit("the child received from a channel of its parent")
    own = await layer.new_channel()
    await layer.group_add(me, own)
    for n in range(200):
        await layer.send(own, {"n": n})
        assert (await layer.receive(own))["n"] == n
        await layer.group_send(me, {"n": n})
        assert (await asyncio.wait_for(layer.receive(own), 5))["n"] == n
    await unused.send("b", {"n": 1})
if pid:
    assert layer.client_prefix == parent
    asyncio.run(use())
    assert async_to_sync(layer.receive)(channel)["n"] == 2
    _, status = os.waitpid(pid, 0)
    print("ended", status)
else:
    asyncio.run(use())
"""
    ended = await asyncio.to_thread(python, code, server.url)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("ended 0\n", "", 0)


async def test_multiprocessing_children_use_the_layer_of_their_parent(server: Server) -> None:
    code = """
import asyncio, multiprocessing, sys
from asgiref.sync import async_to_sync
from servicebus.layers.redis import RedisChannelLayer
layer = RedisChannelLayer(hosts=[sys.argv[1]])
async_to_sync(layer.send)("a", {"n": 0})
def child(n):
    async_to_sync(layer.send)("results", {"n": n})
if __name__ == "__main__":
    children = [multiprocessing.get_context("fork").Process(target=child, args=(n,)) for n in range(4)]
    for one in children: one.start()
    for one in children: one.join()
    async def results():
        return sorted([(await layer.receive("results"))["n"] for _ in children])
    print(async_to_sync(results)(), [one.exitcode for one in children])
"""
    ended = await asyncio.to_thread(python, code, server.url)
    assert (ended.stdout, ended.stderr) == ("[0, 1, 2, 3] [0, 0, 0, 0]\n", "")


@pytest.mark.parametrize("local", [False, True])
async def test_receive_waits_through_restarts_of_the_server(own_server: Server, local: bool) -> None:
    layer = RedisChannelLayer(hosts=[own_server.url])
    channel = await layer.new_channel() if local else "a"
    try:
        await layer.send(channel, {"n": -1})
        assert (await received(layer, channel))["n"] == -1
        for n in range(3):
            waiting = asyncio.ensure_future(layer.receive(channel))
            await asyncio.sleep(0.05)
            await asyncio.to_thread(own_server.kill)
            await asyncio.sleep(0.1)
            assert not waiting.done()
            await own_server.restart()
            await sent(layer, channel, n)
            assert (await asyncio.wait_for(waiting, LONG))["n"] == n
    finally:
        await layer.close_pools()


async def test_groups_survive_a_restart_of_the_server(own_server: Server) -> None:
    layers = [RedisChannelLayer(hosts=[own_server.url]) for _ in range(3)]
    channels = [await layer.new_channel() for layer in layers]
    try:
        for layer, channel in zip(layers, channels, strict=True):
            await layer.group_add("g", channel)
        await asyncio.to_thread(own_server.kill)
        await own_server.restart()
        await eventually(lambda: own_server.run("ZCARD", "asgi:group:{g}") == 3)
        await eventually(lambda: len(own_server.all_keys("*:workers")) == 3)
        await layers[0].group_send("g", {"n": 1})
        for layer, channel in zip(layers, channels, strict=True):
            assert await numbers(layer, channel, 1) == [1]
    finally:
        for layer in layers:
            await layer.close_pools()


async def test_a_layer_is_made_before_its_server(own_server: Server) -> None:
    await asyncio.to_thread(own_server.kill)
    layer = RedisChannelLayer(hosts=[own_server.url])
    channel = await layer.new_channel()
    try:
        waiting = [asyncio.ensure_future(layer.receive(name)) for name in (channel, "a")]
        await asyncio.sleep(0.1)
        with pytest.raises(Exception, match="no server"):
            await layer.send("a", {"n": 1})
        with pytest.raises(Exception, match="no server"):
            await asyncio.wait_for(layer.group_add("g", channel), 5)
        await own_server.restart()
        for name in (channel, "a"):
            await sent(layer, name, 1)
        assert [(await asyncio.wait_for(one, LONG))["n"] for one in waiting] == [1, 1]
    finally:
        await layer.close_pools()


async def test_the_scripts_may_be_flushed_at_any_time(make_any: Make, server: Server) -> None:
    layer = make_any(capacity=50)
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    for n in range(5):
        server.run("SCRIPT", "FLUSH")
        await layer.group_send("g", {"n": n})
        server.run("SCRIPT", "FLUSH")
        await layer.send("a", {"n": n})
        server.run("SCRIPT", "FLUSH")
        await layer.send(channel, {"n": n})
        server.run("SCRIPT", "FLUSH")
        assert await numbers(layer, channel, 2) == [n, n]
        assert await numbers(layer, "a", 1) == [n]
    assert await fill(layer, channel) == 50
    assert await fill(layer, "b") == 50


async def sent(layer: Any, channel: str, n: int) -> None:
    """Send as soon as there is a server again."""
    for _ in range(200):
        with contextlib.suppress(Exception):
            await layer.send(channel, {"n": n})
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not sent within 4 s")


async def test_garbage_in_a_list_is_counted_and_passed_over(
    make: Make, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    layer = make()
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    for key in ("asgi:{a}", f"asgi:{{{layer.client_prefix}!}}"):
        for garbage in (
            b"",
            b"\xff\xfe",
            b"\x94\x00\x00\x00",
            b"\x94\x00\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa1+\x01",
        ):
            server.run("RPUSH", key, garbage)
        server.run("PEXPIRE", key, 60_000)
    for name in (channel, "a"):
        await layer.send(name, {"n": 1})
        assert await numbers(layer, name, 1) == [1]
    assert layer.counters.poisoned >= 6
    assert "dropped" in caplog.text


async def test_a_full_server_refuses_and_says_so(own_server: Server) -> None:
    layer = RedisChannelLayer(hosts=[own_server.url])
    try:
        await layer.send("a", {"n": 0})
        own_server.run("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(Exception, match="refused") as error:
            await layer.send("a", {"n": 1})
        assert not isinstance(error.value, ChannelFull)
        own_server.run("CONFIG", "SET", "maxmemory", "0")
        assert await numbers(layer, "a", 1) == [0]
    finally:
        await layer.close_pools()
