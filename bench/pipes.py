"""What the processes of a run tell one another: a line of JSON at a time, over standard input and output."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from typing import Any

LONGEST = 1 << 24


class ChildFailed(Exception):
    """A child process ended, or said nothing for too long."""


async def lines_of_stdin() -> AsyncIterator[dict[str, Any]]:
    """What the parent asks, until it closes the pipe. Cancelling is safe."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LONGEST)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := await reader.readline():
            yield json.loads(line)
    finally:
        transport.close()


async def until_stdin_ends() -> None:
    """Until the parent is gone, or closes the pipe. Cancelling is safe."""
    async for _ in lines_of_stdin():
        pass


def reply(message: dict[str, Any]) -> None:
    """Answer the parent."""
    print(json.dumps(message), flush=True)


async def ask(child: Process, request: dict[str, Any], within: float) -> dict[str, Any]:
    """Send a request and wait for its answer.

    Raises ChildFailed when the child ended, failed or took longer than ``within`` seconds. After a cancel the child
    owes an answer: end it.
    """
    assert child.stdin is not None
    child.stdin.write(json.dumps(request).encode() + b"\n")
    return await answer(child, within)


async def answer(child: Process, within: float) -> dict[str, Any]:
    """The next line of a child. Raises ChildFailed as ``ask`` does; after a cancel the child must be ended."""
    assert child.stdout is not None
    try:
        line = await asyncio.wait_for(child.stdout.readline(), within)
    except TimeoutError:
        raise ChildFailed(f"no answer within {within:.0f} s") from None
    if not line:
        raise ChildFailed(f"process {child.pid} ended")
    message: dict[str, Any] = json.loads(line)
    if "error" in message:
        raise ChildFailed(message["error"])
    return message
