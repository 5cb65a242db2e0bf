"""Servers that are not there, too old, or no Redis: what a caller hears."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import hiredis
import pytest

from servicebus import ConfigurationError, ServiceBus, Unavailable
from servicebus.testing.servers import Server

from ...support.refusals import refused
from ...support.timing import MS


@pytest.fixture
def unused_port() -> int:
    """Nothing listens there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_a_server_that_is_not_there_is_said_in_one_line(unused_port: int, host: str) -> None:
    error = await refused(f"redis://user:secret@{host}:{unused_port}/3")
    assert isinstance(error, Unavailable)
    assert (error.executed, error.retryable) == ("no", True)
    assert str(error).startswith("no server at redis://")
    assert str(unused_port) in str(error)
    assert "secret" not in str(error)
    assert len(str(error)) < 120


async def test_a_socket_that_is_not_there_is_said_in_one_line() -> None:
    error = await refused("unix:///nowhere/at-all.sock")
    assert str(error) == "no server at unix:///nowhere/at-all.sock: No such file or directory"


async def test_a_single_server_is_no_cluster() -> None:
    with Server(tcp=True) as single:
        error = await refused(single.url.replace("redis://", "redis+cluster://"))
        assert isinstance(error, Unavailable)
        assert str(error) == f"not a node of a cluster: {single.url} (redis:// is for a single server)"
        assert (error.executed, error.retryable) == ("no", False)


@asynccontextmanager
async def answering(answer: Callable[[list[bytes]], bytes]) -> AsyncIterator[str]:
    """The URL of something that answers every command so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        while data := await reader.read(65536):
            parser.feed(data)
            while (command := parser.gets()) is not False:
                writer.write(answer(command))
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        await asyncio.sleep(10 * MS)


def hello_of(server: bytes, version: bytes) -> Callable[[list[bytes]], bytes]:
    def answer(command: list[bytes]) -> bytes:
        if command[0] == b"HELLO":
            parts = [b"server", server, b"version", version, b"proto", b"2"]
            return b"*8\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts) + b"$2\r\nid\r\n:7\r\n"
        if command[0] == b"TIME":
            return b"*2\r\n$1\r\n1\r\n$1\r\n1\r\n"
        return b"$11\r\nrole:master\r\n"

    return answer


@pytest.mark.parametrize(
    ("server", "version"), [(b"redis", b"6.2.14"), (b"valkey", b"7.1.9"), (b"redis", b"5.0"), (b"other", b"6.9")]
)
async def test_a_server_that_is_too_old_is_named_with_what_is_needed(server: bytes, version: bytes) -> None:
    async with answering(hello_of(server, version)) as url:
        error = await refused(url)
    assert isinstance(error, ConfigurationError)
    assert f"{server.decode()} {version.decode()} at {url} is too old" in str(error)
    assert "needs Redis 7.0 or Valkey 7.2" in str(error)


@pytest.mark.parametrize(("server", "version"), [(b"redis", b"7.0.0"), (b"redis", b"8.6"), (b"valkey", b"7.2.13")])
async def test_a_server_that_is_new_enough_is_taken(server: bytes, version: bytes) -> None:
    async with answering(hello_of(server, version)) as url, ServiceBus(url):
        pass


async def test_a_server_that_knows_no_hello_is_too_old() -> None:
    async with answering(lambda command: b"-ERR unknown command `HELLO`, with args beginning with: `2`,\r\n") as url:
        error = await refused(url)
    assert isinstance(error, ConfigurationError)
    assert "is too old" in str(error)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02", b"+OK\r\n", b":1\r\n"]
)
async def test_something_that_is_no_redis_at_all_is_unavailable(answer: bytes) -> None:
    async with answering(lambda command: answer) as url:
        error = await refused(url)
    assert str(url) in str(error)


async def test_a_server_that_closes_at_once_is_unavailable() -> None:
    listening = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    try:
        error = await refused(f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    finally:
        listening.close()
    assert "closed the connection" in str(error)
