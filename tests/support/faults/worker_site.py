"""The service of the worker processes, as it is and as one that sheds a standing queue.

It writes into the history that ``SERVICEBUS_TEST_HISTORY`` names.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from servicebus import Service, Shedding
from servicebus.testing.history import Recorder

HISTORY = "SERVICEBUS_TEST_HISTORY"
CHANNEL = "site.request"

service, shedding = Service("site"), Service("site", shedding=Shedding())
recorder = Recorder(os.environ.get(HISTORY))


@shedding.handler("run")
@service.handler("run")
async def run(message: dict[str, Any]) -> str:
    with recorder.running(message["id"]):
        await asyncio.sleep(message.get("seconds", 0.0))
    return str(message["id"])


@service.handler("echo")
async def echo(message: dict[str, Any]) -> int:
    """For so many calls that their history would be too long."""
    return int(message["n"])
