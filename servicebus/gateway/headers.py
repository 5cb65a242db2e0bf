"""The headers of a request: those that the gateway reads, and those that it forwards to the bus."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Iterable, Sequence

from ..errors import ConfigurationError, InvalidRequest
from .refusals import UnsupportedMediaType

CORRELATION_ID = "x-correlation-id"
TIMEOUT = "x-request-timeout"

_ID = re.compile(r"[!-~]{1,128}\Z")
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?\Z")
_FORWARDED = re.compile(r"([a-z0-9][a-z0-9-]{0,63})(?:=([a-z0-9][a-z0-9_.-]{0,63}))?\Z")
_JSON = re.compile(r'application/json[ \t]*(;[ \t]*charset="?utf-8"?[ \t]*)?\Z', re.IGNORECASE)

Forwarded = dict[str, str]
"""The name of an HTTP header to the name of the header on the bus."""


def checked_forward(forward: Sequence[str]) -> Forwarded:
    """Parse names such as ``("x-tenant", "idempotency-key=idempotency_key")`` into a table.

    Raises:
        ConfigurationError: an entry is not valid, or two headers would get the same name on the bus.
    """
    if isinstance(forward, str):
        raise ConfigurationError(f"forward is {forward!r}: give a sequence of names")
    table: Forwarded = {}
    for entry in forward:
        found = _FORWARDED.match(entry) if isinstance(entry, str) else None
        if found is None:
            raise ConfigurationError(
                f"forward has {entry!r} in it: give the lower-case name of an HTTP header, "
                "or that name and the name on the bus, as in 'idempotency-key=idempotency_key'"
            )
        table[found[1]] = found[2] or found[1]
    if len(set(table.values())) < len(table):
        raise ConfigurationError(f"forward is {forward!r}: two HTTP headers get the same name on the bus")
    return table


class RequestHeaders:
    """The headers of one request.

    A header that the gateway reads may be there once only: of two, proxies and the gateway could read different ones.
    Its value must be US-ASCII without control characters.
    """

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, list[bytes]] = {}
        for name, value in headers:
            self._values.setdefault(name.decode("latin-1").lower(), []).append(value)

    def get(self, name: str) -> str | None:
        """Return the value of a header, None when it is not there.

        Raises:
            InvalidRequest: the header is there twice, or its value is not printable US-ASCII.
        """
        values = self._values.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise InvalidRequest("this header is there more than once", f"headers.{name}")
        text = values[0].decode("latin-1").strip(" \t")
        if not (text.isascii() and text.isprintable()):
            raise InvalidRequest("a header must be printable US-ASCII", f"headers.{name}")
        return text

    def check_host(self) -> None:
        """Check that there is one host at most: of two, a proxy may have allowed the other one.

        Raises:
            InvalidRequest: there are more.
        """
        self.get("host")

    def correlation_id(self) -> str:
        """Return the correlation ID that the client sent, or a new one.

        Raises:
            InvalidRequest: the header is not a correlation ID.
        """
        given = self.get(CORRELATION_ID)
        if given is None:
            return uuid.uuid4().hex
        if not _ID.match(given):
            raise InvalidRequest("a correlation ID is 1 to 128 visible characters", f"headers.{CORRELATION_ID}")
        return given

    def timeout(self, longest: float) -> float:
        """Return the seconds that the client wants to wait, at most ``longest``.

        Raises:
            InvalidRequest: the header is not a number of seconds above zero.
        """
        given = self.get(TIMEOUT)
        if given is None:
            return longest
        seconds = float(given) if _SECONDS.match(given) else math.nan
        if not seconds > 0:
            raise InvalidRequest("a timeout is a number of seconds above zero", f"headers.{TIMEOUT}")
        return min(seconds, longest)

    def forwarded(self, forward: Forwarded) -> dict[str, str]:
        """Return the headers to send on the bus, out of those that may be forwarded."""
        given = {on_bus: self.get(name) for name, on_bus in forward.items()}
        return {name: value for name, value in given.items() if value is not None}

    def declared_length(self) -> int:
        """Return the declared size of the body in bytes, 0 for none. The ASGI server has checked the number."""
        given = self.get("content-length") or ""
        return int(given[:19]) if given.isdecimal() else 0

    def check_json(self) -> None:
        """Check that the body is declared as plain JSON in UTF-8.

        Raises:
            UnsupportedMediaType: the content type or the content encoding is another.
        """
        if not _JSON.match(self.get("content-type") or ""):
            raise UnsupportedMediaType("the content type must be application/json, in UTF-8")
        if (self.get("content-encoding") or "identity").lower() != "identity":
            raise UnsupportedMediaType("the content must not be encoded")
