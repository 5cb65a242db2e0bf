"""The gateway as an ASGI application: HTTP in, calls out."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from ..api.context import context
from ..bus import ServiceBus
from ..config import DEFAULT_BODY_WITHIN, DEFAULT_MAX_MESSAGE_SIZE, DEFAULT_MAX_REQUESTS, DEFAULT_TIMEOUT
from ..errors import ConfigurationError, RemoteError, SendUnknown, Unavailable
from .admission import Admission
from .body import Message, Receive, Send, fields_of, read_body
from .disconnect import unless_gone
from .exposure import Exposure, Target, path_of
from .headers import CORRELATION_ID, RequestHeaders, checked_forward
from .lifespan import serve_lifespan
from .limits import Limits
from .log import RequestLog
from .problems import Response, response_to
from .refusals import Disconnected, MethodNotAllowed
from .shared_bus import SharedBus

READY_WITHIN = 2.0
"""Seconds for the server to answer a readiness probe: Kubernetes gives up on a probe soon after."""
LIVE = "/livez"
READY = "/readyz"
LEAST_LEFT = 0.001
"""Seconds for a call whose time was used up by opening the bus: it ends as any call that comes too late."""

logger = logging.getLogger(__name__)


class Gateway:
    """An ASGI application. ``POST /<service>/<operation>`` with a JSON object answers with the operation's reply.

    ``GET /livez`` is 200 while the process runs, ``GET /readyz`` while the server of the bus answers too. The bus is
    opened by the lifespan protocol or, under an ASGI server without it, by the first request.

    Args:
        bus: a bus or its URL, by default ``SERVICEBUS_URL``. A bus that is open already is not closed here.
        expose: services (``"orders"``) and operations (``"inventory.stock"``) that may be called. The rest is 404.
        timeout: seconds for a call; clients may ask for less.
        max_body: bytes of a request's body.
        body_within: seconds for a request to arrive.
        max_requests: requests that may be in progress at once.
        forward: HTTP headers that become headers of the bus, such as ``"x-tenant"``, or under another name:
            ``"idempotency-key=idempotency_key"``. All others are dropped, feature flags among them.

    Raises:
        ConfigurationError: an argument is wrong. The text names the argument.
    """

    def __init__(
        self,
        bus: ServiceBus | str | None = None,
        *,
        expose: Sequence[str],
        timeout: float = DEFAULT_TIMEOUT,
        max_body: int = DEFAULT_MAX_MESSAGE_SIZE,
        body_within: float = DEFAULT_BODY_WITHIN,
        max_requests: int = DEFAULT_MAX_REQUESTS,
        forward: Sequence[str] = (),
    ) -> None:
        self.limits = Limits(timeout, max_body, body_within, max_requests)
        self._exposure = Exposure(expose)
        self._forward = checked_forward(forward)
        self._bus = SharedBus(bus if isinstance(bus, ServiceBus) else ServiceBus(bus, service="gateway"))
        self._admission = Admission(max_requests)
        self._log = RequestLog()

    async def open(self) -> None:
        """Open the bus now, before the first request needs it. Cancelling is safe: opening goes on.

        While the server is away requests are answered with 503; the first request after its return opens the bus.

        Raises:
            Unavailable: the server refuses this process, and waiting does not help; or the gateway is closed.
            ConfigurationError: a setting of the bus is wrong.
        """
        try:
            await self._bus.opened()
        except Unavailable as error:
            if not error.retryable or self._bus.is_closed:
                raise
            logger.error("%s: requests are answered with 503 until it is there", error)

    async def drain(self, within: float) -> None:
        """Refuse new requests, and wait for those in progress, ``within`` seconds at most.

        Cancelling is safe: it ends the wait only.
        """
        await self._admission.close(within)

    async def close(self) -> None:
        """Drain for as long as a call may take, then close the bus. Idempotent.

        Cancelling is safe during the drain, but leaves the bus open: close again. Later, closing goes on.
        """
        await self.drain(self.limits.timeout)
        await self._bus.close()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan. Cancelling is safe: it withdraws the call.

        Raises:
            ConfigurationError: the scope is not HTTP, WebSocket or lifespan.
        """
        match scope["type"]:
            case "http":
                response = await self._answer(scope, receive)
                if response is not None:
                    await _respond(send, response)
            case "lifespan":
                await serve_lifespan(receive, send, self.open, self.close)
            case "websocket":
                await receive()
                await send({"type": "websocket.close"})
            case other:
                raise ConfigurationError(
                    f"the gateway serves http, not {other!r}: correct the routes of the ASGI application around it"
                )

    async def _answer(self, scope: Message, receive: Receive) -> Response | None:
        """Return the answer, None when the client has closed the connection."""
        head = RequestHeaders(scope["headers"])
        correlation_id = uuid.uuid4().hex
        try:
            correlation_id = head.correlation_id()
            response = await self._served(scope, head, correlation_id, receive)
        except Disconnected:
            return None
        except Exception as error:  # noqa: BLE001 - the client gets an answer after every error
            self._log.failed(error, correlation_id)
            response = response_to(error)
        response.headers.append((CORRELATION_ID.encode(), correlation_id.encode()))
        return response

    async def _served(self, scope: Message, head: RequestHeaders, correlation_id: str, receive: Receive) -> Response:
        head.check_host()
        if (path := path_of(scope)) in (LIVE, READY):
            return await self._probe(path, scope["method"])
        target = self._exposure.target(path)
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        head.check_json()
        timeout, headers = head.timeout(self.limits.timeout), head.forwarded(self._forward)
        with self._admission.one():
            fields = fields_of(await read_body(receive, head.declared_length(), self.limits))
            with context(correlation_id=correlation_id, headers=headers):
                reply = await unless_gone(receive, self._call(target, fields, timeout))
        return Response(200, _encoded(reply), [(b"content-type", b"application/json")])

    async def _call(self, target: Target, fields: dict[str, Any], timeout: float) -> Any:
        with self._log.call_of(target):
            deadline = time.monotonic() + timeout
            bus = await self._opened(timeout)
            return await bus.call(target.channel, {"type": target.operation, **fields}, timeout=_left(deadline))

    async def _opened(self, within: float) -> ServiceBus:
        try:
            async with asyncio.timeout(within):
                return await self._bus.opened()
        except TimeoutError:
            raise Unavailable("the bus could not be opened in time") from None

    async def _probe(self, path: str, method: str) -> Response:
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed("GET, HEAD")
        if path == READY:
            await self._check_ready()
        return Response(200, b"ok\n", [(b"content-type", b"text/plain"), (b"cache-control", b"no-store")])

    async def _check_ready(self) -> None:
        if self._admission.closed:
            raise Unavailable("the gateway is stopping")
        with self._log.outages_of("the server"):
            try:
                async with asyncio.timeout(READY_WITHIN):
                    bus = await self._bus.opened()
                    await bus.workers(self._exposure.some_channel)
            except (TimeoutError, SendUnknown):  # a probe changes nothing, so it does not matter whether it ran
                raise Unavailable("the server does not answer") from None


async def _respond(send: Send, response: Response) -> None:
    headers = [*response.headers, (b"content-length", b"%d" % len(response.body))]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _left(deadline: float) -> float:
    """Seconds until an instant of the monotonic clock."""
    return max(deadline - time.monotonic(), LEAST_LEFT)


def _encoded(reply: Any) -> bytes:
    try:
        return msgspec.json.encode(reply)
    except (TypeError, ValueError, RecursionError) as error:
        raise RemoteError("reply_invalid", f"the reply cannot be written as JSON: {error}") from error
