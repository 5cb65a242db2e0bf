"""Under a server that hands over a body as it comes, and knows the lifespan."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import uvicorn

from servicebus import ServiceBus
from servicebus.gateway import Gateway
from servicebus.testing.servers import Server

from ...support.gateway_desk import Sleeper
from ...support.running_gateway import posting
from ...support.timing import LONG, MS, eventually


@pytest.fixture
async def sleeper(server: Server) -> AsyncIterator[Sleeper]:
    sleeper = Sleeper("site")
    async with ServiceBus(server.url) as bus, bus.serving(sleeper.service, drain=50 * MS):
        yield sleeper


@pytest.fixture
async def port(server: Server, sleeper: Sleeper) -> AsyncIterator[int]:
    app = Gateway(server.url, expose=["site"], body_within=200 * MS)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", lifespan="on", ws="none")
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve(sockets=[listening]))
    await eventually(lambda: running.started)
    yield listening.getsockname()[1]
    running.should_exit = True
    await task
    listening.close()


async def first_line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(LONG):
        return await reader.readline()


async def test_a_slow_body_is_ended(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(posting("/site/sleep", b"{}" * 10)[:-10])
    assert b" 408 " in await first_line(reader)
    writer.close()


@pytest.mark.parametrize("length", [b"content-length: 10000000", b"transfer-encoding: chunked"])
async def test_a_large_body_is_refused_before_it_is_there(port: int, length: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /site/sleep HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n" + length + b"\r\n\r\n")
    if b"chunked" in length:
        writer.write(b"20000\r\n" + b"x" * 0x20000 + b"\r\n")
    assert b" 413 " in await first_line(reader)
    writer.close()


async def test_a_client_that_goes_takes_its_call_along(port: int, sleeper: Sleeper) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(posting("/site/sleep"))
    await eventually(lambda: sleeper.started == 1)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    await eventually(lambda: sleeper.cancelled == 1)
