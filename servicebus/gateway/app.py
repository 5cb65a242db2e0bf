"""The gateway as an ASGI application: HTTP in, calls out."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from ..api.context import context
from ..bus import ServiceBus
from ..errors import ConfigurationError, RemoteError, SendUnknown, Unavailable
from ..foundation.text import printable
from .admission import Admission
from .body import (
    Message,
    Receive,
    fields_of,
    read_body,
)
from .disconnect import unless_gone
from .exposure import Exposure, Target
from .headers import CORRELATION_ID, Head, checked_forward
from .limits import Limits
from .log import Notes
from .problems import Response, response_to
from .refusals import Disconnected, MethodNotAllowed
from .shared_bus import Connection

READY_WITHIN = 2.0
LIVE, READY = "/livez", "/readyz"

Send = Callable[[Message], Awaitable[None]]


class Gateway:
    """``POST /<service>/<operation>`` with a JSON object calls the operation, and answers with its reply as JSON.

    ``GET /livez`` says that the process runs, ``GET /readyz`` that the server of the bus answers too. The bus is opened
    by the lifespan protocol or, under a server without it, by the first request.

    Args:
        bus: a bus or its URL, by default ``SERVICEBUS_URL``. One that is open already is not closed here.
        expose: what may be called: services (``"orders"``) and operations (``"inventory.stock"``). The rest is 404.
        timeout: seconds for a call; clients may ask for less.
        max_body: bytes of a request's body.
        body_within: seconds for it to arrive.
        max_requests: how many may be in progress at once.
        forward: HTTP headers that become headers of the bus, such as ``"x-tenant"``, or under another name:
            ``"idempotency-key=idempotency_key"``. All others stay outside, feature flags among them.

    Raises ConfigurationError, which names the argument.
    """

    def __init__(
        self,
        bus: ServiceBus | str | None = None,
        *,
        expose: Sequence[str],
        timeout: float = 5.0,
        max_body: int = 65_536,
        body_within: float = 10.0,
        max_requests: int = 1024,
        forward: Sequence[str] = (),
    ) -> None:
        self.limits = Limits(timeout, max_body, body_within, max_requests)
        self._exposure, self._forward = Exposure(expose), checked_forward(forward)
        self._bus = Connection(bus if isinstance(bus, ServiceBus) else ServiceBus(bus, service="gateway"))
        self._admission, self._notes = Admission(max_requests), Notes()

    async def open(self) -> None:
        """Open the bus now. Raises Unavailable or ConfigurationError. Cancelling is safe."""
        await self._bus.opened()

    async def drain(self, within: float) -> None:
        """Refuse what comes, and wait for what is in progress, ``within`` seconds at most. Cancelling is safe."""
        await self._admission.close(within)

    async def close(self) -> None:
        """Drain for as long as a call may take, then close the bus. Idempotent."""
        await self.drain(self.limits.timeout)
        await self._bus.close()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan. Cancelling withdraws the call."""
        match scope["type"]:
            case "http":
                response = await self._answer(scope, receive)
                if response is not None:
                    await _respond(send, response)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close"})
            case other:
                raise ConfigurationError(f"the gateway serves http, not {other!r}: correct the routes")

    async def _answer(self, scope: Message, receive: Receive) -> Response | None:
        """What to answer, None when nobody is there any more."""
        head, correlation_id = Head(scope["headers"]), uuid.uuid4().hex
        try:
            correlation_id = head.correlation_id()
            response = await self._served(scope, head, correlation_id, receive)
        except Disconnected:
            return None
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the client gets an answer
            self._notes.failed(error, correlation_id)
            response = response_to(error)
        response.headers.append((CORRELATION_ID.encode(), correlation_id.encode()))
        return response

    async def _served(self, scope: Message, head: Head, correlation_id: str, receive: Receive) -> Response:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in (LIVE, READY):
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
        with self._notes.calling(target):
            bus = await self._opened(timeout)
            return await bus.call(target.channel, {"type": target.operation, **fields}, timeout=timeout)

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
        with self._notes.asking("the server"):
            try:
                async with asyncio.timeout(READY_WITHIN):
                    bus = await self._bus.opened()
                    await bus.workers(self._exposure.some_channel)
            except (TimeoutError, SendUnknown):  # a probe changes nothing: that it may have run is no matter
                raise Unavailable("the server does not answer") from None

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.open()
        except Exception as error:  # noqa: BLE001 - the server is told, and ends
            await send({"type": "lifespan.startup.failed", "message": printable(str(error))})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})


async def _respond(send: Send, response: Response) -> None:
    headers = [*response.headers, (b"content-length", b"%d" % len(response.body))]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _encoded(reply: Any) -> bytes:
    try:
        return msgspec.json.encode(reply)
    except (TypeError, ValueError, RecursionError) as error:
        raise RemoteError("reply_invalid", f"the reply is nothing that JSON can say: {error}") from error
