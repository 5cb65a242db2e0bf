"""The server of docker-compose.yml: its settings, and what they bound."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from servicebus.config import DEFAULT_MAX_MESSAGE_SIZE
from servicebus.layers.redis.receiving.arming import MAX_PER_POP

from ...support.compose.deployment import services
from ...support.compose.running_compose import eventually

MIB = 1 << 20
KEY = "tests-compose"


@pytest.fixture
def client(server: str) -> Iterator[Any]:
    with Redis(unix_socket_path=server.removeprefix("unix://")) as client:
        yield client
        client.delete(KEY)


def fill(client: Any, frames: int) -> None:
    for _ in range(frames // 64):
        client.rpush(KEY, *[b"x" * DEFAULT_MAX_MESSAGE_SIZE] * 64)


def test_the_server_keeps_nothing_on_disk_and_refuses_when_full(client: Any) -> None:
    command = services()["valkey"]["command"]
    assert command[command.index("--save") + 1] == ""
    assert command[command.index("--appendonly") + 1] == "no"
    found = client.config_get("save", "appendonly", "maxmemory", "maxmemory-policy", "maxmemory-clients")
    assert found == {
        "save": "",
        "appendonly": "no",
        "maxmemory": str(256 * MIB),
        "maxmemory-policy": "noeviction",
        "maxmemory-clients": str(128 * MIB),
    }


def test_the_largest_batch_that_a_reader_asks_for_gets_through(client: Any) -> None:
    fill(client, MAX_PER_POP)
    _, frames = client.blmpop(1, 1, KEY, direction="LEFT", count=MAX_PER_POP)
    assert len(frames) == MAX_PER_POP
    assert sum(map(len, frames)) == 32 * MIB


def test_a_client_that_never_reads_is_disconnected_early(client: Any) -> None:
    fill(client, 64)
    client.config_resetstat()
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(client.connection_pool.connection_kwargs["path"])
        deaf.sendall(b"CLIENT SETNAME deaf\r\n")
        assert deaf.recv(5) == b"+OK\r\n"
        assert "deaf" in names_of_clients(client)
        # From here on the client reads nothing, and keeps its socket open: only the server can end the connection.
        deaf.sendall(f"LRANGE {KEY} 0 -1\r\n".encode() * 200)  # 800 MiB of answers
        eventually(lambda: "deaf" not in names_of_clients(client), "the server disconnects the client")
    assert client.info("memory")["used_memory_peak"] < 128 * MIB


def names_of_clients(client: Any) -> list[str]:
    """The names of the connections that the server has."""
    return [one["name"] for one in client.client_list()]
