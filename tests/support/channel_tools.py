"""What tests of a channel layer do all the time."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import pytest
from channels.exceptions import ChannelFull

from servicebus.layers.redis import RedisChannelLayer

from .timing import LONG, MS, PROGRAM_WITHIN, allowed

ROOT = Path(__file__).parents[2]
SCALE = float(os.environ.get("SERVICEBUS_TEST_SCALE", "1"))
"""How much larger than usual the tests of many messages, processes and clients are. 5: as large as they are meant."""


class Make(Protocol):
    def __call__(self, **options: Any) -> RedisChannelLayer: ...


async def received(layer: Any, channel: str, within: float = LONG) -> dict[str, Any]:
    """The next message. Fails when none comes."""
    message: dict[str, Any] = await asyncio.wait_for(layer.receive(channel), within)
    return message


async def numbers(layer: Any, channel: str, count: int) -> list[int]:
    """The field ``n`` of the next messages."""
    return [(await received(layer, channel))["n"] for _ in range(count)]


async def nothing(layer: Any, channel: str, within: float = 60 * MS) -> None:
    """Fails when there is a message."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(layer.receive(channel), within)


async def drained(layer: Any, channel: str, within: float = 120 * MS) -> list[dict[str, Any]]:
    """Everything that is there."""
    found = []
    while True:
        try:
            found.append(await asyncio.wait_for(layer.receive(channel), allowed(within)))
        except TimeoutError:
            return found


async def fill(layer: Any, channel: str, most: int = 1000) -> int:
    """Send until the channel is full; how many it took."""
    for n in range(most):
        try:
            await layer.send(channel, {"type": "fill", "n": n})
        except ChannelFull:
            return n
    return most


def python(code: str, *arguments: str, timeout: float = PROGRAM_WITHIN, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program with all warnings as errors and in development mode, which shows what was left open."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code, *arguments]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, cwd=ROOT, env=os.environ | env, check=False
    )
    # That a step of a loop took long on a busy machine is nobody's fault.
    slow_step = ("Executing <", "WARNING:asyncio:Executing <")
    said = [line for line in ended.stderr.splitlines(keepends=True) if not line.startswith(slow_step)]
    ended.stderr = "".join(said)
    return ended
