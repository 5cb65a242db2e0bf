"""What a system must offer to be measured: a server, a worker that echoes, and a client that calls it.

Each runs in its own process, so that the memory and threads of one system cost no other system anything.
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

MOST_IN_FLIGHT = 4096
"""Calls in flight that a system takes unless its peer sets a lower number: the most that a scenario asks for."""

Serve = Callable[[str], Awaitable[None]]
Client = Callable[[str], AbstractAsyncContextManager[Call]]


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. ``pid`` is 0 if the worker itself is the server."""

    address: str
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Peer:
    """A system under measurement.

    ``missing`` returns why the system cannot run here, "" if it can. ``worker`` and ``driver`` return command lines for
    the address of the server; a driver reads requests and writes results, see ``bench.driver``.
    """

    name: str
    missing: Callable[[], str]
    server: Callable[[], AbstractAsyncContextManager[Server]]
    worker: Callable[[str], tuple[str, ...]]
    driver: Callable[[str], tuple[str, ...]]
    most_in_flight: int = MOST_IN_FLIGHT
    workers: int = 1


def module_command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command line of a module of ours."""
    return (sys.executable, "-m", module, *arguments)


def served_by(name: str) -> Callable[[str], tuple[str, ...]]:
    """Return the worker of a peer whose module has a ``serve``."""
    return lambda address: module_command("bench.peers.worker", name, address)


def driven_by(name: str, **options: Any) -> Callable[[str], tuple[str, ...]]:
    """Return the driver of a peer whose module has a ``client``, which takes the options."""
    return lambda address: module_command("bench.driver", name, address, json.dumps(options))


def absent(*packages: str) -> str:
    """Return which of the packages cannot be imported, as a reason; "" if all can."""
    gone = [package for package in packages if find_spec(package) is None]
    return f"{', '.join(gone)} not installed: pip install servicebus[bench]" if gone else ""


@asynccontextmanager
async def embedded_server() -> AsyncIterator[Server]:
    """Start a private server on a unix socket, as the demo does: the same for every system that uses Redis."""
    async with EmbeddedServer() as server:
        with redis.Redis.from_url(server.url) as admin:
            pid = int(admin.info("server")["process_id"])
        yield Server(server.url, pid)


@asynccontextmanager
async def no_server() -> AsyncIterator[Server]:
    """Yield an address only, for systems whose worker listens itself."""
    yield Server(f"127.0.0.1:{free_port()}")


@asynccontextmanager
async def server_process(address: str, *command: str) -> AsyncIterator[Server]:
    """Run a server that is a plain program."""
    async with process(*command, quiet=True) as child:
        yield Server(address, child.pid)
