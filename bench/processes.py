"""Child processes: start them, read what they used, and end them by their IDs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

END_WITHIN = 5.0
"""Seconds from SIGTERM to SIGKILL: a healthy child ends in a fraction of one."""
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
"""Ticks per second of the processor times in ``/proc``."""
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
"""Bytes of one page of memory."""
LONGEST_LINE = 1 << 24
"""Bytes of one line between two processes of a run: 16 MiB hold the largest result, a histogram of a long load."""


@asynccontextmanager
async def process(
    *command: str, talks: bool = False, quiet: bool = False, end_within: float = END_WITHIN
) -> AsyncIterator[Process]:
    """Start a child that ends with the block, by SIGKILL ``end_within`` seconds after SIGTERM at the latest.

    A child that ``talks`` has its standard input and output connected. A child that reads its standard input sees
    the end of it when this process is gone, even if it was killed.
    """
    child = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE if talks else DEVNULL, stderr=DEVNULL if quiet else None, limit=LONGEST_LINE
    )
    try:
        yield child
    finally:
        await _end(child, end_within)


async def _end(child: Process, within: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    if child.stdin is not None:
        child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), within)
    except TimeoutError:
        child.kill()
        await child.wait()


def cpu_seconds(pid: int) -> float:
    """Return the seconds of processor time that a process and its threads have used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_SIZE


def free_port() -> int:
    """Return a loopback port on which no process listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
