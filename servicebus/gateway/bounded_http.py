"""HTTP as daphne reads it, within bounds.

Daphne gives an application the body of a request when all of it has come, from a temporary file if need be, and sets no
limit to its size or time. So what is too large or too slow is refused here, while it comes, and before the application
or a disk has seen any of it. Who sends on after a refusal is listened to for a moment: a connection that is closed on
unread bytes is reset, and the answer would be lost.
"""

# mypy: disallow-untyped-calls=False
# Twisted has types for some of its methods only.

from __future__ import annotations

import asyncio
from http import HTTPStatus
from io import BytesIO
from typing import Any

from daphne.http_protocol import HTTPFactory, WebRequest
from twisted.web.http import HTTPChannel

from ..errors import MessageTooLarge, Overloaded
from .limits import Limits
from .problems import response_to
from .refusals import HeadersTooLarge, Refused, RequestTimeout

CONNECTIONS = 4
"""For each request that may be in progress: most are idle."""
LINGER = 2.0


class Channel(HTTPChannel):
    """One connection. A request, head and body, must be there ``body_within`` seconds after its first byte."""

    maxHeaders = HTTPChannel.totalHeadersSize  # it is their size that counts
    limits: Limits
    connections: set[Channel]
    transport: Any
    callLater: Any
    requestFactory: Any

    def __init__(self) -> None:
        super().__init__()
        self.closed = asyncio.Event()
        self._answering = self._refused = False
        self._timer: Any = None

    def connectionMade(self) -> None:
        super().connectionMade()
        self.connections.add(self)
        if len(self.connections) > CONNECTIONS * self.limits.max_requests:
            self.refuse(Overloaded("gateway", "too many connections are open"))
            self.transport.loseConnection()  # to listen on would be to have more of them

    def connectionLost(self, reason: Any) -> None:  # type: ignore[override]
        self._stop_timer()
        self.connections.discard(self)
        self.closed.set()
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        if self._refused:
            return
        if not self._answering:
            self._start_timer()
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        if self._refused:
            return
        if self._receivedHeaderSize + len(line) > self.totalHeadersSize:
            self.refuse(HeadersTooLarge())
            return
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse(HeadersTooLarge())

    def allHeadersReceived(self) -> None:
        if self.length is not None and self.length > self.limits.max_body:
            self.refuse(MessageTooLarge(self.length, self.limits.max_body))
        else:
            super().allHeadersReceived()

    def rawDataReceived(self, data: bytes) -> None:
        if not self._refused:
            super().rawDataReceived(data)

    def allContentReceived(self) -> None:
        if self._refused:
            return
        self._stop_timer()
        self._answering = True
        super().allContentReceived()

    def requestDone(self, request: WebRequest) -> None:
        self._answering = False
        super().requestDone(request)

    def refuse(self, error: Refused | MessageTooLarge | Overloaded) -> None:
        """Answer, read no more, and close when the client has or a moment has passed."""
        if self._refused:
            return
        self._refused = True
        self._stop_timer()
        self.setTimeout(None)
        self.transport.write(_bytes_of(error))
        self.transport.loseWriteConnection()
        self._timer = self.callLater(LINGER, self._abort)

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.callLater(self.limits.body_within, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        self.refuse(RequestTimeout())

    def _abort(self) -> None:
        self._timer = None
        self.forceAbortClient()


class BoundedRequest(WebRequest):  # type: ignore[misc] # daphne has no types
    """One request. Its body stays in memory, for it is small."""

    def __init__(self, channel: Channel, queued: object) -> None:
        # Forms are nothing that the gateway would read.
        super().__init__(channel, queued, parsePOSTFormSubmission=False)

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        size, limit = self.content.tell() + len(data), self.channel.limits.max_body
        if size > limit:
            self.channel.refuse(MessageTooLarge(size, limit))
        else:
            self.content.write(data)

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        # Twisted knows not all of their names.
        super().setResponseCode(code, message or HTTPStatus(code).phrase.encode())

    def process(self) -> Any:
        # The first is for WebSockets, which are not served; the second is daphne's own, and not for outsiders to set.
        for name in (b"upgrade", b"daphne-root-path"):
            self.requestHeaders.removeHeader(name)
        return super().process()


class Factory(HTTPFactory):  # type: ignore[misc] # daphne has no types
    """Makes the connections, and knows those that are open."""

    def __init__(self, server: Any, limits: Limits) -> None:
        super().__init__(server)
        self._limits = limits
        self.connections: set[Channel] = set()

    protocol = Channel

    def buildProtocol(self, addr: object) -> Channel:
        channel: Channel = super().buildProtocol(addr)
        channel.requestFactory = BoundedRequest
        channel.limits, channel.connections = self._limits, self.connections
        return channel


def _bytes_of(error: Exception) -> bytes:
    response = response_to(error)
    headers = [*response.headers, (b"content-length", b"%d" % len(response.body)), (b"connection", b"close")]
    head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    status = f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n".encode()
    return status + head + b"\r\n" + response.body
