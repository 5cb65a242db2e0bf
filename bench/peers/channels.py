"""``python -m bench.peers.channels ADDRESS N``: one worker process that serves N channels, until its input ends."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from contextlib import AsyncExitStack

from servicebus import Service, ServiceBus
from servicebus.foundation.event_loop import loop_factory

from ..echo import echo
from ..pipes import until_stdin_ends


def service(number: int) -> Service:
    """Return an echo service with a number in its name."""
    named = Service(f"echo-{number}")
    named.handler("echo")(echo)
    return named


async def main(address: str, channels: str) -> None:
    """Serve the channels until standard input ends. Cancelling is safe: the bus is closed."""
    async with ServiceBus(address) as bus, AsyncExitStack() as stack:
        for number in range(int(channels)):
            await stack.enter_async_context(bus.serving(service(number)))
        await until_stdin_ends()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(*sys.argv[1:]))
