"""A service for worker processes."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import sys
import time
from typing import Any

from servicebus import Context, Service

from .shop import Closed

FORKING = multiprocessing.get_context("fork")

service = Service("workshop")
_not_a_service = "workshop"


@service.handler("echo")
async def echo(message: dict[str, Any], context: Context) -> dict[str, Any]:
    return {**message, "caller": context.caller}


@service.handler("pid")
async def pid(message: dict[str, Any]) -> int:
    return os.getpid()


@service.handler("wait")
async def wait(message: dict[str, Any]) -> int:
    await asyncio.sleep(message["seconds"])
    return 1


@service.handler("block")
def block(message: dict[str, Any]) -> int:
    time.sleep(message["seconds"])
    return 1


@service.handler("deaf")
async def deaf(message: dict[str, Any]) -> int:
    """It swallows every cancellation."""
    while True:
        with contextlib.suppress(BaseException):
            await asyncio.sleep(message["seconds"])


@service.handler("offload")
async def offload(message: dict[str, Any]) -> int:
    """It blocks a thread of the event loop, which nothing can end."""
    await asyncio.to_thread(time.sleep, message["seconds"])
    return 1


@service.handler("exit")
async def exit_(message: dict[str, Any]) -> int:
    sys.exit(message["code"])


@service.handler("exit in a task")
async def exit_in_a_task(message: dict[str, Any]) -> int:
    async with asyncio.TaskGroup() as group:
        group.create_task(exit_(message))
    return 1


@service.handler("exit in a thread")
def exit_in_a_thread(message: dict[str, Any]) -> int:
    sys.exit(message["code"])


@service.handler("closed")
async def closed(message: dict[str, Any]) -> None:
    raise Closed(until="noon")


@service.handler("fork")
async def fork(message: dict[str, Any]) -> int:
    """The exit code of a forked child that is terminated."""
    return _terminated()


@service.handler("fork in a thread")
def fork_in_a_thread(message: dict[str, Any]) -> int:
    return _terminated()


@service.handler("pool")
def pool(message: dict[str, Any]) -> list[int]:
    """The squares of three numbers, from forked children, which the pool terminates."""
    with FORKING.Pool(2) as children:
        return children.map(_square, [1, 2, 3])


def _terminated() -> int:
    child = FORKING.Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join(30)
    assert child.exitcode is not None
    return child.exitcode


def _square(number: int) -> int:
    return number * number
