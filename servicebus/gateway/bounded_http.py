"""Connections of daphne with bounds of size and time.

Daphne reads the whole body of a request, into a temporary file if it is large, before the application sees any of it.
Daphne bounds neither size nor time. So requests that are too large or too slow are refused here, while they arrive, and
before the application or a disk sees any of them. After a refusal the connection stays open for a moment, because TCP
resets a connection that is closed with unread bytes, and the client would lose the answer.
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
from .backpressure import BackpressureChannel
from .limits import Limits
from .problems import response_to
from .refusals import HeadersTooLarge, Refused, RequestTimeout

CONNECTIONS_PER_REQUEST = 4
"""Connections that may be open for each request that may be in progress: most connections are idle."""
CLOSE_AFTER = 2.0
"""Seconds between a refusal and the end of its connection: time for the client to read the answer."""


class Channel(BackpressureChannel):
    """One connection. A request must have arrived ``body_within`` seconds after its first byte."""

    maxHeaders = HTTPChannel.totalHeadersSize  # their size is bounded, so their number need not be
    limits: Limits
    connections: set[Channel]
    callLater: Any
    requestFactory: Any

    def __init__(self) -> None:
        super().__init__()
        self.closed = asyncio.Event()
        self._answering = False  # whether the application has the request
        self._refused = False  # whether a request was refused, so that nothing more is read
        self._timer: Any = None  # ends a slow request, or a connection after a refusal

    def connectionMade(self) -> None:
        super().connectionMade()
        self.connections.add(self)
        if len(self.connections) > CONNECTIONS_PER_REQUEST * self.limits.max_requests:
            self.refuse(Overloaded("gateway", "too many connections are open"))
            self.transport.loseConnection()  # keeping it open for a moment would keep one more connection

    def connectionLost(self, reason: Any) -> None:  # type: ignore[override]
        self._stop_timer()
        self.connections.discard(self)
        self.closed.set()
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        if self._refused:
            return
        if not self._answering and not self.paused and (data or self._buffer):
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
        if len(self.unread) >= self.limits.max_requests:
            self.refuse(Overloaded("gateway", "too many clients do not read their answers"))
            return
        self._stop_timer()
        self._answering = True
        super().allContentReceived()

    def requestDone(self, request: WebRequest) -> None:
        self._answering = False
        super().requestDone(request)

    def refuse(self, error: Refused | MessageTooLarge | Overloaded) -> None:
        """Answer with an error, read no more, and close after a moment unless the client closes before."""
        if self._refused:
            return
        self._refused = True
        self._stop_timer()
        self.setTimeout(None)
        self.transport.write(_bytes_of(error))
        self.transport.loseWriteConnection()
        self.transport.resumeProducing()  # what the client still sends is read and dropped
        self._timer = self.callLater(CLOSE_AFTER, self._abort)

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
    """One request. Its body stays in memory, because the limit keeps it small."""

    def __init__(self, channel: Channel, queued: object) -> None:
        # The gateway reads JSON only, so forms need not be parsed.
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
        # Twisted does not know the names of all statuses.
        super().setResponseCode(code, message or HTTPStatus(code).phrase.encode())

    def process(self) -> Any:
        # WebSockets are not served. The second header belongs to daphne, and a client must not set it.
        for name in (b"upgrade", b"daphne-root-path"):
            self.requestHeaders.removeHeader(name)
        return super().process()


class Factory(HTTPFactory):  # type: ignore[misc] # daphne has no types
    """Makes the connections, and keeps a set of those that are open."""

    def __init__(self, server: Any, limits: Limits) -> None:
        super().__init__(server)
        self._limits = limits
        self.connections: set[Channel] = set()
        # Those whose clients do not read their answers.
        self._unread: set[BackpressureChannel] = set()

    protocol = Channel

    def buildProtocol(self, addr: object) -> Channel:
        channel: Channel = super().buildProtocol(addr)
        channel.requestFactory = BoundedRequest
        channel.limits = self._limits
        channel.connections = self.connections
        channel.unread = self._unread
        return channel


def _bytes_of(error: Exception) -> bytes:
    response = response_to(error)
    headers = [*response.headers, (b"content-length", b"%d" % len(response.body)), (b"connection", b"close")]
    head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    status = f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n".encode()
    return status + head + b"\r\n" + response.body
