from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bench.peers import free_port
from servicebus.testing.servers import Server

from ...support.channel_tools import ROOT, SCALE
from ...support.timing import LONG, eventually
from ...support.websocket import WebSocket

CLIENTS = int(500 * min(SCALE, 1))
ROOMS = 20
SAID_BY_EACH = 2
SITE = "tests.support.channels_site.asgi:application"


@contextmanager
def daphne(server: Server, log: str) -> Iterator[int]:
    """The site in a process of its own; the port it listens on. It must end by itself when told."""
    port = free_port()
    address = ("-b", "127.0.0.1", "-p", str(port))
    # On a busy machine the handshakes of so many clients take longer than the usual five seconds.
    command = [sys.executable, "-m", "daphne", *address, "-v", "0", "--websocket_connect_timeout", "60", SITE]
    env = os.environ | {"SITE_REDIS": server.url, "DJANGO_SETTINGS_MODULE": "tests.support.channels_site.settings"}
    with open(log, "w") as output, subprocess.Popen(command, cwd=ROOT, env=env, stderr=output) as process:
        try:
            yield port
            process.send_signal(signal.SIGTERM)
            process.wait(LONG)
        finally:
            process.kill()


async def enter(port: int, room: str) -> WebSocket:
    """A client in a room, as soon as the site is up."""
    for _ in range(400):
        with contextlib.suppress(ConnectionError):
            return await WebSocket.connect(port, f"/rooms/{room}")
        await asyncio.sleep(0.05)
    raise AssertionError("the site did not start")


async def listen(client: WebSocket, count: int) -> list[str]:
    return [await client.receive() for _ in range(count)]


@pytest.mark.parametrize("processes", [2])
async def test_every_socket_in_a_room_gets_every_message_of_the_room(
    server: Server, tmp_path: Path, processes: int
) -> None:
    logs = [str(tmp_path / f"{n}.log") for n in range(processes)]
    with ExitStack() as stack:
        ports = [stack.enter_context(daphne(server, log)) for log in logs]
        rooms = [f"room{n % ROOMS}" for n in range(CLIENTS)]
        for port in ports:
            await (await enter(port, "lobby")).close()
        clients = [await enter(ports[n // ROOMS % processes], room) for n, room in enumerate(rooms)]
        expected = CLIENTS // ROOMS * SAID_BY_EACH
        hearing = [asyncio.ensure_future(listen(client, expected)) for client in clients]
        for said in range(SAID_BY_EACH):
            for n, client in enumerate(clients):
                await client.send(f"{rooms[n]} {n} {said}")
        heard = await asyncio.wait_for(asyncio.gather(*hearing), 60)
        for room, got in zip(rooms, heard, strict=True):
            said_here = {
                f"{room} {n} {said}" for n in range(CLIENTS) if rooms[n] == room for said in range(SAID_BY_EACH)
            }
            assert len(got) == expected
            assert set(got) == said_here
        await asyncio.gather(*(client.close() for client in clients))
        await eventually(lambda: not server.all_keys("asgi:group:*"))
    said_by_daphne = "".join(Path(log).read_text() for log in logs)
    assert "Traceback" not in said_by_daphne, said_by_daphne
    assert "Task was destroyed" not in said_by_daphne, said_by_daphne
