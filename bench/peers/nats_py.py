"""nats-py: request and reply over one connection per process, the worker in a queue group.

As in the README of https://github.com/nats-io/nats.py and https://docs.nats.io/nats-concepts/core-nats/reqreply, with
msgpack bodies like ours.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from ..load import Call
from ..processes import free_port
from .base import Peer, Server, absent, driven_by, served_by, server_process

NAME = "nats-py"
PATIENT = {"max_reconnect_attempts": 50, "reconnect_time_wait": 0.1}


def missing() -> str:
    """Return why NATS cannot run here, "" if it can."""
    return absent("nats") or ("" if shutil.which("nats-server") else "nats-server is not on PATH")


@asynccontextmanager
async def server() -> AsyncIterator[Server]:
    """Run a NATS server on a free port."""
    port = str(free_port())
    async with server_process(f"nats://127.0.0.1:{port}", "nats-server", "-a", "127.0.0.1", "-p", port) as started:
        yield started


async def serve(address: str) -> None:
    """Answer every request with its message. Cancelling is safe: the connection is closed."""
    import nats

    connection = await nats.connect(address, **PATIENT)

    async def echo(message: Any) -> None:
        await message.respond(msgspec.msgpack.encode(msgspec.msgpack.decode(message.data)))

    try:
        await connection.subscribe("echo", queue="workers", cb=echo)
        await asyncio.Event().wait()
    finally:
        await connection.close()


@asynccontextmanager
async def client(address: str) -> AsyncIterator[Call]:
    """Yield a function that makes a call."""
    import nats

    connection = await nats.connect(address, **PATIENT)

    async def call(body: str) -> object:
        message = msgspec.msgpack.encode({"type": "echo", "body": body})
        reply = await connection.request("echo", message, timeout=5)
        return msgspec.msgpack.decode(reply.data)

    try:
        yield call
    finally:
        await connection.close()


PEER = Peer(NAME, missing, server, served_by(NAME), driven_by(NAME))
