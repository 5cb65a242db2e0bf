"""The service that every scenario calls: it returns each request, at once or after a millisecond of work."""

from __future__ import annotations

import time
from typing import Any

from servicebus import Service

service = Service("echo")

WORK = 0.001
"""Seconds of processor time of one ``work``: a handler that computes a little."""


@service.handler("echo")
async def echo(message: dict[str, Any]) -> dict[str, Any]:
    """Return the request. Cancelling is safe: it never waits."""
    return message


@service.handler("work")
async def work(message: dict[str, Any]) -> dict[str, Any]:
    """Return the request after WORK seconds of the processor's time, not of the clock's.

    On a busy machine the work stays the same. Cancelling is safe: it never waits.
    """
    end = time.thread_time() + WORK
    while time.thread_time() < end:
        pass
    return message
