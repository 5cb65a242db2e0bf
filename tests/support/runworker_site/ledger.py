"""A service that writes down every time one of its handlers starts."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from servicebus import Context, Service

service = Service("ledger")


def write(line: str) -> None:
    """Write one line in one piece, also while other processes write."""
    descriptor = os.open(os.environ["SITE_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


@service.handler("enter")
async def enter(message: dict[str, Any]) -> int:
    write(f"enter {message['n']}")
    await asyncio.sleep(message.get("seconds", 0.0))
    return os.getpid()


@service.handler("announce")
async def announce(message: dict[str, Any], context: Context) -> None:
    await context.bus.publish("ledger.entered", {"n": message["n"]})


@service.on("ledger.entered")
async def entered(event: dict[str, Any]) -> None:
    write(f"heard {event['n']}")


@service.every(0.1)
async def tick(bus: Any) -> None:
    write(f"tick {os.getpid()}")
