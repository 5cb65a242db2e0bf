"""What a system must offer to be measured: a server, a worker that echoes, and a client that calls it.

Each runs in a process of its own, so that no system pays for what another one keeps in memory or does in threads.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import redis

from servicebus.layers.redis.embedded import EmbeddedServer

from ..load import Call
from ..processes import free_port, process

Serve = Callable[[str], Awaitable[None]]
Client = Callable[[str], AbstractAsyncContextManager[Call]]


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. ``pid`` is 0 when the worker itself is the server."""

    address: str
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Peer:
    """A system under measurement.

    ``missing`` says what keeps it from running here, ``""`` when nothing does. ``worker`` and ``driver`` are command
    lines, given the address of the server; a driver reads requests and writes results, see ``bench.driver``.
    """

    name: str
    missing: Callable[[], str]
    server: Callable[[], AbstractAsyncContextManager[Server]]
    worker: Callable[[str], tuple[str, ...]]
    driver: Callable[[str], tuple[str, ...]]
    most_in_flight: int = 4096
    workers: int = 1


def module_command(module: str, *arguments: str) -> tuple[str, ...]:
    """The command line of a module of ours."""
    return (sys.executable, "-m", module, *arguments)


def served_by(name: str) -> Callable[[str], tuple[str, ...]]:
    """The worker of a peer whose module has a ``serve``."""
    return lambda address: module_command("bench.peers.worker", name, address)


def driven_by(name: str, **options: Any) -> Callable[[str], tuple[str, ...]]:
    """The driver of a peer whose module has a ``client``, which takes the options."""
    return lambda address: module_command("bench.driver", name, address, json.dumps(options))


def absent(*packages: str) -> str:
    """Which of the packages cannot be imported, as a reason; ``""`` when all can."""
    gone = [package for package in packages if find_spec(package) is None]
    return f"{', '.join(gone)} not installed: pip install servicebus[bench]" if gone else ""


@asynccontextmanager
async def embedded_server() -> AsyncIterator[Server]:
    """A private server on a unix socket, as ``embedded://`` starts it: the same for all who speak to Redis."""
    async with EmbeddedServer() as server:
        with redis.Redis.from_url(server.url) as admin:
            pid = int(admin.info("server")["process_id"])
        yield Server(server.url, pid)


@asynccontextmanager
async def no_server() -> AsyncIterator[Server]:
    """For systems whose worker listens itself: only an address."""
    yield Server(f"127.0.0.1:{free_port()}")


@asynccontextmanager
async def server_process(address: str, *command: str) -> AsyncIterator[Server]:
    """A server that is a plain program."""
    async with process(*command, quiet=True) as child:
        yield Server(address, child.pid)
