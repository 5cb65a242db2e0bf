"""A relay before a real server that changes answers: a program between the two that is wrong, or a server that is."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

import hiredis

Change = Callable[[list[bytes], bytes], bytes]
"""Takes a command and the bytes of its answer, and returns the bytes that the client gets."""

PREFIXES_OF_LINES = b"+-:_#,("
"""What answers of one line begin with."""


def end_of(data: bytes, start: int = 0) -> int | None:
    """Where the value that begins at ``start`` ends, None while it is incomplete."""
    line = data.find(b"\r\n", start)
    if line < 0:
        return None
    kind, end = data[start : start + 1], line + 2
    if kind in PREFIXES_OF_LINES:
        return end
    count = int(data[start + 1 : line])
    if kind == b"$":
        end += count + 2 if count >= 0 else 0
        return end if end <= len(data) else None
    for _ in range(count * (2 if kind == b"%" else 1)):
        found = end_of(data, end)
        if found is None:
            return None
        end = found
    return end


@asynccontextmanager
async def changed_answers(path: str, change: Change) -> AsyncIterator[str]:
    """Run the relay before the server at the unix socket ``path``; yields the URL for clients."""
    relays: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relays[cast("asyncio.Task[None]", asyncio.current_task())] = writer
        from_server, to_server = await asyncio.open_unix_connection(path)
        commands: deque[list[bytes]] = deque()
        await asyncio.gather(
            _until_cut(_commands(reader, to_server, commands), to_server, writer),
            _until_cut(_answers(from_server, writer, commands, change), to_server, writer),
        )

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in relays.values():
            writer.transport.abort()
        await asyncio.gather(*relays)
        await server.wait_closed()


async def _until_cut(relaying: Coroutine[Any, Any, None], *ends: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await relaying
    for end in ends:
        end.transport.abort()
    for end in ends:
        with contextlib.suppress(OSError):
            await end.wait_closed()


async def _commands(reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, commands: deque[list[bytes]]) -> None:
    parsed = hiredis.Reader(notEnoughData=None)
    while data := await reader.read(65_536):
        parsed.feed(data)
        while (command := parsed.gets()) is not None:
            commands.append(cast("list[bytes]", command))
        upstream.write(data)


async def _answers(
    upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, commands: deque[list[bytes]], change: Change
) -> None:
    data = b""
    while more := await upstream.read(65_536):
        data += more
        while (end := end_of(data)) is not None:
            writer.write(change(commands.popleft(), data[:end]))
            data = data[end:]
