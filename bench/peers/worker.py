"""``python -m bench.peers.worker NAME ADDRESS``: the worker of a peer, until its standard input ends."""

from __future__ import annotations

import asyncio
import contextlib
import sys

from servicebus.foundation.event_loop import loop_factory

from ..pipes import until_stdin_ends
from . import load


async def main(name: str, address: str) -> None:
    """Serve until standard input ends. Cancelling is safe: serving is cancelled."""
    serving = asyncio.ensure_future(load(name).serve(address))
    ended = asyncio.ensure_future(until_stdin_ends())
    try:
        await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
    finally:
        for task in (serving, ended):
            task.cancel()
        await asyncio.gather(serving, ended, return_exceptions=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(*sys.argv[1:]))
