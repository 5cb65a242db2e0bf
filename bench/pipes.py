"""Messages between the processes of a run: lines of JSON over standard input and output."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from typing import Any

from .processes import LONGEST_LINE


class ChildFailed(Exception):
    """A child process ended, reported an error, or did not answer in time."""


async def lines_of_stdin() -> AsyncIterator[dict[str, Any]]:
    """Yield the requests of the parent until it closes the pipe. Cancelling is safe: the pipe is closed."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := await reader.readline():
            yield json.loads(line)
    finally:
        transport.close()


async def until_stdin_ends() -> None:
    """Wait until the parent is gone or closes the pipe. Cancelling is safe: the pipe is closed."""
    async for _ in lines_of_stdin():
        pass


def reply(message: dict[str, Any]) -> None:
    """Send a message to the parent."""
    print(json.dumps(message), flush=True)


async def ask(child: Process, request: dict[str, Any], within: float) -> dict[str, Any]:
    """Send a request to a child and return its answer.

    Cancelling is not safe: the answer may still come, so the child must be ended.

    Raises:
        ChildFailed: the child ended, failed or took longer than ``within`` seconds.
    """
    assert child.stdin is not None
    child.stdin.write(json.dumps(request).encode() + b"\n")
    return await answer(child, within)


async def answer(child: Process, within: float) -> dict[str, Any]:
    """Return the next message of a child.

    Cancelling is not safe: the answer may still come, so the child must be ended.

    Raises:
        ChildFailed: the child ended, failed or took longer than ``within`` seconds.
    """
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
