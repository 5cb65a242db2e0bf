"""A service that is offered, says and logs what should not be in a log."""

from __future__ import annotations

import logging
from typing import Any, Literal

from servicebus import Context, Request, Service, ServiceError, Unauthorized
from servicebus.api.middleware import Endpoint

NASTY = "x\n2026-01-01 00:00:00,000 ERROR root: all is lost\r\x1b[31m\x07\x00\x7f\x85\x9b1m\u2028\u2029\u202e\u2066"
MARK = "all is lost"

logger = logging.getLogger(__name__)


class Colour(Request[str], tag="colour"):
    colour: Literal["red", "green"]


class Broken(ServiceError, code="hostile_broken"):
    how: str


async def guarding(request: Any, context: Context, proceed: Endpoint) -> Any:
    if isinstance(request, dict) and "forbidden" in request:
        raise Unauthorized("ask", f"not you, {request['forbidden']}")
    return await proceed(request, context)


service = Service("hostile", middleware=[guarding])


@service.handler
async def colour(request: Colour) -> str:
    return request.colour


@service.handler("fail")
async def fail(message: dict[str, Any]) -> None:
    raise ValueError(message["text"])


@service.handler("break")
async def broken(message: dict[str, Any]) -> None:
    raise Broken(how=message["text"])


@service.handler("say")
async def say(message: dict[str, Any], context: Context) -> str:
    """What the service itself logs in good faith: who called, and the headers."""
    logger.warning("%s called %s with %s", context.caller, context.correlation_id, dict(context.headers))
    return "said"


@service.handler("log")
async def log(message: dict[str, Any]) -> str:
    logger.warning("somebody says %s", message["text"])
    return "logged"
