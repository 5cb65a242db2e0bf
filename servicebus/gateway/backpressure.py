"""A connection that takes no further request while answers wait for its client.

A client may send one request after another and read none of the answers. Twisted then stops reading the connection, but
goes on with the requests that it has read already, and under some conditions reads on. So this class decides itself
when the connection is read, and when the requests that were read are parsed.
"""

# mypy: disallow-untyped-calls=False
# Twisted has types for some of its methods only, and declares others in an interface without ``self``.

from __future__ import annotations

from typing import Any

from twisted.web.http import HTTPChannel

MAX_READ_AHEAD = 16_384
"""Bytes of further requests that are read while a request is answered: enough to notice a client that goes away."""


class BackpressureChannel(HTTPChannel):
    """One connection.

    Attributes:
        unread: the connections of the server whose clients do not read their answers.
        paused: answers wait for the client, so nothing is parsed. ``LineReceiver`` looks at it.
    """

    unread: set[BackpressureChannel]
    paused: bool
    transport: Any

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """Whether the connection goes on. Twisted takes the header for words with blanks between them."""
        lines = request.requestHeaders.getRawHeaders(b"connection") or []
        options = [option.strip().lower() for line in lines for option in line.split(b",")]
        if b"close" in options:
            request.requestHeaders.setRawHeaders(b"connection", [b"close"])
        return bool(super().checkPersistence(request, version))

    def connectionLost(self, reason: Any) -> None:  # type: ignore[override]
        self.unread.discard(self)
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self._read_or_wait()

    def requestDone(self, request: Any) -> None:
        if self.paused:
            # What came after ``pauseProducing`` stands in ``_buffer``, behind what twisted has put aside before.
            self._dataBuffer.append(self._buffer)
            self._buffer = b""
        super().requestDone(request)
        self._read_or_wait()

    def pauseProducing(self) -> None:
        """Called by the transport when answers wait for the client: parse nothing until they have left."""
        super().pauseProducing()
        self.paused = True
        self.unread.add(self)
        self._read_or_wait()

    def resumeProducing(self) -> None:
        """Called by the transport when all answers have left."""
        self.paused = False
        self.unread.discard(self)
        super().resumeProducing()
        self.dataReceived(b"")

    def _read_or_wait(self) -> None:
        """Read from the connection unless answers, or too many requests, wait in this process already."""
        ahead = sum(map(len, self._dataBuffer)) if self._handlingRequest else 0
        if self.paused or ahead > MAX_READ_AHEAD:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()
