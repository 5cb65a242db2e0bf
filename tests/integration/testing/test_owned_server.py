"""One real server: its start, its end, its restart, and what its administrator sees."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import hiredis
import pytest

from servicebus import ServiceBus, Unavailable
from servicebus.testing.servers import Server, is_running
from servicebus.testing.servers.ports import free_ports

from ...support.timing import LONG, Stopwatch, allowed, eventually_sync

OWNER = """
import time
from servicebus.testing.servers import Server

with Server() as server:
    print(server.path, server.pid, flush=True)
    time.sleep(60)
"""


async def test_a_server_is_reached_by_its_url_and_leaves_no_files() -> None:
    with Server() as server:
        pid, directory = server.pid, Path(server.path).parent
        assert stat.S_IMODE(Path(server.path).stat().st_mode) == 0o700
        async with ServiceBus(server.url) as bus:
            await bus.send("shop.request", {"type": "x"})
        assert len(server.frames("shop.request")) == 1
    assert not is_running(pid)
    assert not directory.exists()
    server.end()


def test_a_server_ends_although_a_child_holds_its_pipe_open() -> None:
    with Server() as server, Stopwatch() as watch:
        assert server._process is not None
        pipe = server._process._guard.stdin
        assert pipe is not None
        child = subprocess.Popen(["sleep", "60"], pass_fds=[pipe.fileno()])
        server.end()
    child.kill()
    child.wait()
    assert watch.seconds < allowed(5.0)
    assert not server.running


async def test_a_server_listens_on_a_port_and_requires_a_password() -> None:
    with Server(tcp=True, password="a secret") as server:
        assert server.url == f"redis://:a%20secret@127.0.0.1:{server.port}"
        async with ServiceBus(server.url) as bus:
            await bus.send("shop.request", {"type": "x"})
        with pytest.raises(Unavailable, match="it wants a password"):
            await ServiceBus(f"redis://127.0.0.1:{server.port}").__aenter__()


async def test_a_restarted_server_has_the_same_url_and_new_options() -> None:
    with Server(tcp=True) as server:
        url, pid = server.url, server.pid
        server.run("SET", "k", "v", "EX", 100)
        server.kill()
        assert not server.running
        with pytest.raises(ConnectionError):
            server.run("PING")
        await server.restart("--maxmemory", "7mb")
        assert (server.url, server.all_keys()) == (url, [])
        assert server.pid != pid
        assert server.run("CONFIG", "GET", "maxmemory")[1] == b"7340032"


async def test_a_running_server_can_be_restarted() -> None:
    with Server(tcp=True) as server:
        pid = server.pid
        await server.restart()
        assert server.run("PING") == b"PONG"
        assert not is_running(pid)


def test_a_paused_server_answers_after_it_is_resumed() -> None:
    with Server() as server, socket.socket(socket.AF_UNIX) as client:
        client.connect(server.path)
        with server.standing_still():
            eventually_sync(lambda: not server.answering)
            assert server.running
            client.sendall(b"PING\r\n")
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(10)
        client.settimeout(5)
        assert client.recv(10) == b"+PONG\r\n"


def test_a_paused_server_can_be_killed() -> None:
    with Server() as server:
        server.pause()
        server.kill()
        assert not server.running


def test_a_server_that_cannot_start_raises_the_reason() -> None:
    server = Server("--maxmemory", "a lot")
    with pytest.raises(Unavailable, match="ended at once"):
        server.start()
    assert not Path(server.path).parent.exists()


def test_a_server_takes_another_port_when_its_port_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, Server(tcp=True) as other:
        free = [free_ports(1) for _ in range(3)]
        ports = iter([[taken.getsockname()[1]], [other.port], *free])
        monkeypatch.setattr("servicebus.testing.servers.server.free_ports", lambda count: next(ports))
        with Server(tcp=True) as server:
            assert [server.port] in free


def test_the_administrator_reconnects_when_it_was_disconnected() -> None:
    with Server() as server:
        with pytest.raises(ConnectionError):
            server.run("CLIENT", "KILL", "SKIPME", "no", "TYPE", "normal") and server._admin.run("PING")  # type: ignore[union-attr]
        assert server.run("PING") == b"PONG"
        assert server.clients() == {}


def test_an_error_answer_is_raised() -> None:
    with Server() as server, pytest.raises(hiredis.ReplyError, match="wrong number of arguments"):
        server.run("GET")


def test_leftover_clients_and_keys_without_a_ttl_are_listed() -> None:
    with Server() as server, socket.socket(socket.AF_UNIX) as client:
        client.connect(server.path)
        client.sendall(b"CLIENT SETNAME somebody\r\n")
        eventually_sync(lambda: list(server.clients().values()) == ["somebody"])
        server.register("shop.request")
        server.run("SET", "for-ever", "v")
        assert server.keys_without_ttl() == ["for-ever"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_with_the_process_that_started_it(number: int) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert owner.stdout is not None
    with owner.stdout:
        path, pid = owner.stdout.readline().decode().split()
        os.kill(owner.pid, number)
        owner.wait(LONG)
    eventually_sync(lambda: not is_running(int(pid)), within=LONG)
    eventually_sync(lambda: not Path(path).parent.exists(), within=LONG)
