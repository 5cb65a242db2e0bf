"""A service that says what time it is where it runs, and how much of it is left."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from servicebus import Context, DeadlineExceeded, Service
from servicebus.testing.history import Recorder

from .worker_site import HISTORY

CHANNEL = "clockwork.request"

service = Service("clockwork")
recorder = Recorder(os.environ.get(HISTORY))


@service.handler("left")
async def left(message: dict[str, Any], context: Context) -> list[float | None]:
    return [context.remaining(), time.time()]


@service.handler("run")
async def run(message: dict[str, Any]) -> str:
    with recorder.running(message["id"]):
        await asyncio.sleep(message["seconds"])
    return str(message["id"])


@service.handler("nested")
async def nested(message: dict[str, Any], context: Context) -> float:
    """Seconds after which a call that nobody answers has ended, where the caller has set the deadline."""
    started = time.monotonic()
    try:
        await context.bus.call("silent.request", {"type": "x"}, timeout=message["timeout"])
    except DeadlineExceeded:
        return time.monotonic() - started
    raise AssertionError("it was answered")
