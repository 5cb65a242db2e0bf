"""The service that every scenario calls: it returns what it gets, at once or after a millisecond of work."""

from __future__ import annotations

import time
from typing import Any

from servicebus import Service

service = Service("echo")

WORK = 0.001


@service.handler("echo")
async def echo(message: dict[str, Any]) -> dict[str, Any]:
    return message


@service.handler("work")
async def work(message: dict[str, Any]) -> dict[str, Any]:
    """A millisecond of the processor's time, not of the clock's: on a busy machine it must stay as much work."""
    end = time.thread_time() + WORK
    while time.thread_time() < end:
        pass
    return message
