"""``python -m bench.driver NAME ADDRESS OPTIONS``: the client process of a system. It makes load on request.

Requests and results are lines of JSON. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from servicebus.foundation.event_loop import loop_factory

from .load import Call, closed_loop, open_loop
from .peers import load
from .pipes import lines_of_stdin, reply

STARTS_WITHIN = 10.0
"""Seconds until a call is answered for the first time: a worker imports its framework meanwhile."""


async def closed(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """Run a closed loop and return its report. Cancelling is safe: every call is cancelled."""
    body = "x" * request["body"]
    limits = {name: request[name] for name in ("seconds", "calls") if name in request}
    return (await closed_loop(call, body, request["in_flight"], **limits)).report()


async def opened(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """Run an open loop and return its report. Cancelling is safe: every call is cancelled."""
    done = await open_loop(
        call,
        "x" * request["body"],
        request["rate"],
        request["seconds"],
        arrivals=request["arrivals"],
        seed=request["seed"],
    )
    return done.report()


KINDS: dict[str, Callable[[Call, dict[str, Any]], Awaitable[dict[str, Any]]]] = {"closed": closed, "open": opened}


async def main(name: str, address: str, options: str) -> None:
    """Connect, report that the system is ready, and serve requests. Cancelling is safe: the client is closed."""
    async with load(name).client(address, **json.loads(options)) as call:
        await until_served(call)
        reply({"ready": True})
        async for request in lines_of_stdin():
            gc.collect()
            try:
                result = await KINDS[request["kind"]](call, request)
            except Exception as error:  # noqa: BLE001 - the parent reports every error
                result = {"error": f"{type(error).__name__}: {_first(error)}"}
            reply(result)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def until_served(call: Call) -> None:
    """Call until there is an answer. Cancelling is safe: the call is cancelled.

    Raises:
        TimeoutError: there was no answer within STARTS_WITHIN seconds.
    """
    async with asyncio.timeout(STARTS_WITHIN):
        while True:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(call(""), 1.0)
                return
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(*sys.argv[1:]))
