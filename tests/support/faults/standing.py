"""Programs that a test lets stand still: each is run with ``python -m``, and prints what it saw."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from servicebus import ServiceBus
from servicebus.foundation.event_loop import loop_factory
from servicebus.layers.redis import RedisChannelLayer

from ..processes import ROOT, environment
from .worker_site import CHANNEL

NORMAL = "work"
"""The normal channel that ``receive`` reads, beside a process-local one."""


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a function of this module in a process, which is killed after the block."""
    command = [sys.executable, "-m", __name__, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()) as started:
        try:
            yield started
        finally:
            started.kill()


def show(*values: object) -> None:
    """Print a line now."""
    sys.stdout.write(" ".join(map(str, values)) + "\n")
    sys.stdout.flush()


async def call(url: str, id: str, seconds: str, timeout: str) -> None:
    """Make one call of ``worker_site``, and print the reply."""
    async with ServiceBus(url) as bus:
        message = {"type": "run", "id": id, "seconds": float(seconds)}
        show(await bus.call(CHANNEL, message, timeout=float(timeout)))


async def receive(url: str, count: str) -> None:
    """Print the name of a process-local channel in the group ``g``, then the numbers of so many messages of each."""
    layer = RedisChannelLayer(hosts=[url])
    local = await layer.new_channel()
    await layer.group_add("g", local)
    receiving = [asyncio.create_task(numbers(layer, channel, int(count))) for channel in (local, NORMAL)]
    await asyncio.sleep(0)
    show(local)
    for received in receiving:
        show(*await received)
    await layer.close()


async def numbers(layer: RedisChannelLayer, channel: str, count: int) -> list[int]:
    return [(await layer.receive(channel))["n"] for _ in range(count)]


if __name__ == "__main__":
    name, loop, *rest = sys.argv[1:]
    with asyncio.Runner(loop_factory=loop_factory() if loop == "uvloop" else None) as runner:
        runner.run(call(*rest) if name == "call" else receive(*rest))
