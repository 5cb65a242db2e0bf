"""The same echo call over other systems, each set up as its own documentation advises.

A peer is a coroutine ``call(body)`` on an open client; its worker is a process of its own. A peer that is not installed
is left out, with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from servicebus import ServiceBus
from servicebus.layers.redis.embedded import EmbeddedServer

Call = Callable[[str], Awaitable[object]]


class PeerAbsent(Exception):
    """The peer cannot be measured here; the text says what is missing."""


@asynccontextmanager
async def process(*command: str, **env: str) -> AsyncIterator[None]:
    """A child that ends with the block, by pid."""
    child = await asyncio.create_subprocess_exec(*command, env=os.environ | env, stdout=asyncio.subprocess.DEVNULL)
    try:
        yield
    finally:
        child.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.wait(), 5)
        if child.returncode is None:
            child.kill()
            await child.wait()


@asynccontextmanager
async def servicebus() -> AsyncIterator[Call]:
    """Ours: defaults on, one worker process, a private server on a unix socket as `embedded://` has it."""
    async with EmbeddedServer() as server:
        command = (sys.executable, "-m", "servicebus", "worker", "bench.echo", "--concurrency", "1024")
        async with process(*command, "--url", server.url), ServiceBus(server.url) as bus:
            await bus.wait_for_workers("echo.request")
            yield lambda body: bus.call("echo.request", {"type": "echo", "body": body})


@asynccontextmanager
async def nats() -> AsyncIterator[Call]:
    """nats-py request and reply, as in its README: one connection each, msgpack bodies like ours, uvloop."""
    binary = shutil.which("nats-server")
    if binary is None:
        raise PeerAbsent("nats-server is not on PATH")
    try:
        import nats as library
    except ImportError as error:
        raise PeerAbsent("nats-py is not installed") from error
    port = free_port()
    address = f"nats://127.0.0.1:{port}"
    worker = (sys.executable, "-m", "bench.nats_echo", address)
    async with process(binary, "-a", "127.0.0.1", "-p", str(port)), process(*worker):
        client = await library.connect(address, max_reconnect_attempts=50, reconnect_time_wait=0.1)

        async def call(body: str) -> object:
            message = msgspec.msgpack.encode({"type": "echo", "body": body})
            reply = await client.request("echo", message, timeout=5)
            return msgspec.msgpack.decode(reply.data)

        try:
            await _until_served(call)
            yield call
        finally:
            await client.close()


@asynccontextmanager
async def channels_redis() -> AsyncIterator[Call]:
    """channels_redis both ways: the request on a normal channel, each caller's replies on a channel of its own.

    It is the layer that Channels documents. Capacity and connections are raised so that it does not refuse, and the
    socket timeout of redis-py 8 is turned off, which would end an idle receive.
    """
    from channels_redis.core import RedisChannelLayer

    async with EmbeddedServer() as server:
        layer = RedisChannelLayer(hosts=[channels_redis_host(server.url)], capacity=100_000)
        free: list[str] = []

        async def call(body: str) -> object:
            channel = free.pop() if free else await layer.new_channel()
            await layer.send("echo.request", {"type": "echo", "reply_channel": channel, "body": body})
            reply = await asyncio.wait_for(layer.receive(channel), 5)
            free.append(channel)
            return reply

        async with process(sys.executable, "-m", "bench.channels_echo", server.url):
            try:
                await _until_served(call)
                yield call
            finally:
                await layer.close_pools()


def channels_redis_host(url: str) -> dict[str, object]:
    """One entry of its ``hosts``."""
    return {"address": url, "max_connections": 4096, "socket_timeout": None}


async def _until_served(call: Call) -> None:
    for _ in range(100):
        with contextlib.suppress(Exception):
            await call("")
            return
        await asyncio.sleep(0.05)
    raise PeerAbsent("its worker did not start")


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


PEERS = {"servicebus": servicebus, "nats-py": nats, "channels_redis": channels_redis}
