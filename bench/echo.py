"""The service that every scenario calls: it returns what it gets."""

from __future__ import annotations

from typing import Any

from servicebus import Service

service = Service("echo")


@service.handler("echo")
async def echo(message: dict[str, Any]) -> dict[str, Any]:
    return message
