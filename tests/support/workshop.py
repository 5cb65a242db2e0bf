"""A service for worker processes."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from servicebus import Context, Service

from .shop import Closed

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


@service.handler("closed")
async def closed(message: dict[str, Any]) -> None:
    raise Closed(until="noon")
