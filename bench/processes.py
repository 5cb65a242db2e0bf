"""Child processes: started, asked what they used, and ended by their IDs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

PATIENCE = 5.0
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def process(*command: str, talks: bool = False, quiet: bool = False) -> AsyncIterator[Process]:
    """A child that ends with the block. One that ``talks`` has its standard input and output connected.

    A child that reads its standard input sees it end when this process is gone, however that came about.
    """
    child = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE if talks else DEVNULL, stderr=DEVNULL if quiet else None, limit=1 << 24
    )
    try:
        yield child
    finally:
        await _end(child)


async def _end(child: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    if child.stdin is not None:
        child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), PATIENCE)
    except TimeoutError:
        child.kill()
        await child.wait()


def cpu_seconds(pid: int) -> float:
    """Seconds of processor time that a process and its threads have used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid: int) -> int:
    """The resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
